"""A demo that is interrupted leaves nothing running, and the next one works."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Home
from tests.e2e.test_lifecycle import SMALL

DEMO = [sys.executable, "-m", "mlops_bikeshare", "demo", "--stations", "40", "--days", "9"]
# A whole demo writes some seven hundred files into its lake: days, features, polls, batches.
WRITTEN = 700


def written(home: Home, *, since_s: float) -> int:
    """Files that this demo has put into its lake; those of an older one may still be there."""
    count = 0
    for folder, _, names in os.walk(home.path / "var" / "demo" / "lake"):  # folders may vanish
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                count += (Path(folder) / name).stat().st_mtime >= since_s
    return count


def host_pid(home: Home) -> int | None:
    facts = home.path / "var" / "demo" / "host.json"
    pid: int | None = json.loads(facts.read_text())["pid"] if facts.exists() else None
    return pid


def gone(pid: int) -> bool:
    """Whether the process is gone, or ends by itself within a minute."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


def interrupt(home: Home, *, after: int, by: signal.Signals) -> tuple[int, str, int | None]:
    """Run the demo until its lake holds `after` files, then send the signal."""
    began = time.time()
    with subprocess.Popen(
        DEMO, cwd=home.path, env=home.environment, stdout=-1, stderr=-1, text=True
    ) as demo:
        while written(home, since_s=began) < after and demo.poll() is None:
            try:
                demo.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
        host = host_pid(home)
        demo.send_signal(by)
        _, err = demo.communicate(timeout=120)
    return demo.returncode, err, host


@pytest.mark.skipif(sys.platform != "linux", reason="waits for a foreign process by its pidfd")
@pytest.mark.long
def test_a_demo_interrupted_at_five_random_moments_still_works(
    new_home: Callable[..., Home],
) -> None:
    home, chance = new_home(SMALL), random.Random(20_210_901)

    for by in (signal.SIGINT, signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        code, err, host = interrupt(home, after=chance.randrange(1, WRITTEN), by=by)

        assert code in {2, -signal.SIGKILL, -signal.SIGTERM}, err
        assert "Traceback" not in err
        assert host is None or gone(host)
    done = home.run(*DEMO[3:])
    assert done.code in {0, 1}, done.err
    assert home.report()["replay"]["batches"] == 144
    assert not Path(home.path / "var" / "demo" / "host.json").exists()
