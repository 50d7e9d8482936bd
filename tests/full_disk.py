"""A disk that is really full: a small tmpfs that one process alone sees.

A mount namespace of its own needs no rights where user namespaces are allowed (most of Linux);
elsewhere the test skips and says so.
"""

import ctypes
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_PRIVATE = 0x4000 | 0x40000


class _NotPermittedError(Exception):
    """This machine gives no namespaces."""


def on_small_disk(folder: Path, kilobytes: int, act: Callable[[], T]) -> T:
    """What `act` returns in a child process for which `folder` is a disk of that size."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as out:
            try:
                _mount(folder, kilobytes)
                said: tuple[str, object] = "returned", act()
            except BaseException as error:
                said = "raised", error
            out.write(pickle.dumps(said))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as back:
        how, what = pickle.loads(back.read())  # noqa: S301 - of our own child
    os.waitpid(child, 0)
    if isinstance(what, _NotPermittedError):
        pytest.skip(f"no small disk can be mounted here: {what}")
    if how == "raised":
        raise what
    found: T = what
    return found


def command_on_small_disk(folder: Path, kilobytes: int) -> list[str]:
    """Words to put before a command, whose process then has the disk at `folder`."""
    on_small_disk(folder, kilobytes, bool)  # skips where that cannot be
    if shutil.which("unshare") is None:
        pytest.skip("no small disk can be mounted here: there is no unshare command")
    script = f'mount -t tmpfs -o size={kilobytes}k none "{folder}" && exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]


def fill(folder: Path, *, leave: int) -> Path:
    """A file that takes all room but so many bytes."""
    path = folder / "filler"
    path.write_bytes(bytes(shutil.disk_usage(folder).free - leave))
    return path


def _mount(folder: Path, kilobytes: int) -> None:
    """Put a tmpfs over `folder` in namespaces of this process, which must have one thread."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        unshare, mount = libc.unshare, libc.mount
    except (OSError, AttributeError) as error:
        raise _NotPermittedError(str(error)) from None
    user, group = os.getuid(), os.getgid()
    _check(unshare(_NEW_USER | _NEW_MOUNTS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _check(mount(b"none", b"/", None, _PRIVATE, None))
    options = f"size={kilobytes}k".encode()
    _check(mount(b"none", str(folder).encode(), b"tmpfs", 0, options))


def _check(answer: int) -> None:
    if answer:
        raise _NotPermittedError(os.strerror(ctypes.get_errno()))
