import sqlite3
from pathlib import Path

import pytest

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.serving.host.state import HostState


def test_documents_and_tags_survive_reopening(tmp_path: Path) -> None:
    state = HostState(tmp_path / "host.db")
    state.put("model", "m", {"x": [1]})
    state.tag("arn:m", {"version": "3"})
    state.close()
    state = HostState(tmp_path / "host.db")
    assert (state.get("model", "m"), state.tags("arn:m")) == ({"x": [1]}, {"version": "3"})
    state.delete("model", "m", owner="arn:m")
    assert (state.get("model", "m"), state.tags("arn:m"), state.all("model")) == (None, {}, [])
    state.close()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "host.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(EndpointError, match="version 99"):
        HostState(tmp_path / "host.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(EndpointError, match="not a database"):
        HostState(tmp_path / "host.db")
