"""A real PostgreSQL of the tests' own: a new cluster in a temporary folder, on a Unix socket."""

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")


@dataclass(frozen=True)
class Server:
    """A server that runs; `environment` is what libpq reads."""

    programs: Path
    folder: Path
    owner: str

    @property
    def environment(self) -> dict[str, str]:
        user = {"PGHOST": str(self.folder), "PGPORT": "5432", "PGUSER": "bikeshare"}
        return {**user, "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}"}

    def run(self, program: str, *words: str) -> str:
        """Run one of its programs as the account that it runs under."""
        done = subprocess.run(
            [str(self.programs / program), *words],
            cwd=self.folder,
            env={**os.environ, **self.environment, "LC_ALL": "C.UTF-8"},
            user=self.owner if os.getuid() == 0 else None,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def postgres() -> Iterator[Server]:
    """Skips, with the reason, where there is no server to start."""
    programs = _programs()
    owner = getpass.getuser()
    if os.getuid() == 0:  # which PostgreSQL refuses to run as
        owner = "postgres"
        try:
            pwd.getpwnam(owner)
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no account `postgres`")
    # Not under pytest's folder: others may not look there, and a socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as scratch:
        folder = Path(scratch)
        if os.getuid() == 0:
            shutil.chown(folder, owner)
        server = Server(programs, folder, owner)
        data, log = str(folder / "data"), str(folder / "log")
        server.run("initdb", "-D", data, "-U", "bikeshare", "--auth=trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=20"
        server.run("pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
        try:
            yield server
        finally:
            server.run("pg_ctl", "-D", data, "-w", "-m", "fast", "stop")


def _programs() -> Path:
    for place in _PLACES:
        anchor, *parts = Path(place).parts
        found = sorted(Path(anchor).glob(str(Path(*parts) / "initdb")))
        if found:
            return found[-1].parent
    pytest.skip("no PostgreSQL server here: apt-get install postgresql")
