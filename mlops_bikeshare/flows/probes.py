"""Questions to the outside that change nothing: is a port free, does an address answer."""

import socket
import sqlite3
from pathlib import Path

TIMEOUT_S = 3.0


def is_free(port: int) -> bool:
    """Whether a port of 127.0.0.1 can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def sqlite_problem(uri: str) -> str | None:
    """Why MLflow's SQLite store cannot be read; None when it can."""
    path = Path(uri.removeprefix("sqlite:///"))
    try:
        found = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
        try:
            found.execute("SELECT COUNT(*) FROM experiments").fetchone()
        finally:
            found.close()
    except sqlite3.Error as error:
        return str(error)
    return None


def no_answer(url: str, *, status: bool = False) -> str | None:
    """Why an address does not answer; with `status`, a refusal counts as none."""
    import httpx

    try:
        answer = httpx.get(url, timeout=TIMEOUT_S, follow_redirects=True)
    except httpx.HTTPError as error:
        return f"no answer ({type(error).__name__})"
    return f"answers {answer.status_code}" if status and answer.is_error else None
