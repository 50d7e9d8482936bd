"""The endpoint host as one leaves it running: in the background, killed, started again, stopped."""

import json
import os
import signal
from collections.abc import Callable

import httpx

from tests.e2e.conftest import Home

LINE = "port = 8181                 # of the local endpoint host"
FREE = {LINE: LINE.replace("8181", "0   ")}


def test_a_host_in_the_background_is_found_survives_a_kill_and_is_stopped(
    new_home: Callable[..., Home],
) -> None:
    home = new_home(FREE)
    facts, log = home.path / "var" / "main" / "host.json", home.path / "var" / "main" / "host.log"

    first = home.run("serve", "--background")
    url = first.out.split()[-1]
    assert httpx.get(f"{url}/ping").status_code == 200
    os.kill(json.loads(facts.read_text())["pid"], signal.SIGKILL)
    second = home.run("serve", "--background")
    url = second.out.split()[-1]
    assert httpx.get(f"{url}/ping").status_code == 200
    assert (log.exists(), log.with_name("host.log.1").exists()) == (True, True)
    stopped = home.run("stop")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert stopped.out == "endpoint host of workspace 'main' stopped\n"
    assert not facts.exists()
