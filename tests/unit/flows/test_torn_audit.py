from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, TableError
from mlops_bikeshare.flows import gate, production, records
from mlops_bikeshare.lake.local_state import LocalState
from mlops_bikeshare.lake.state import Lines, LineTakenError
from mlops_bikeshare.settings import Settings


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    found = open_workspace(Settings(root=tmp_path), simulated=True)
    for n in range(2):
        records.audit(found, "gate", why="für alle", facts={"n": n})
    return found


def test_a_line_torn_anywhere_costs_only_itself_and_the_next_entry_says_so(ws: Workspace) -> None:
    path, head = ws.path / "audit.jsonl", ws.path / "journal" / "audit-head.json"
    whole, known = path.read_bytes(), head.read_bytes()
    records.audit(ws, "promotion", why="später", facts={})
    last = path.read_bytes()[len(whole) :]
    accent = last.index("ä".encode()) + 1  # in the middle of a letter

    for length in (1, accent, len(last) - 1):
        path.write_bytes(whole + last[:length])
        head.write_bytes(known)  # it is written after the line
        assert [entry["facts"] for entry in records.audited(ws)] == [{"n": 0}, {"n": 1}]

        records.audit(ws, "deploy", why="again", facts={"n": 2})

        torn = last[:length].decode(errors="replace")
        assert records.audited(ws)[2:][0]["facts"] == {"n": 2, "dropped_torn_line": torn}


def test_an_entry_after_whole_lines_speaks_of_nothing_torn(ws: Workspace) -> None:
    assert [entry["facts"] for entry in records.audited(ws)] == [{"n": 0}, {"n": 1}]


def test_a_reason_may_hold_any_line_separator(ws: Workspace) -> None:
    records.audit(ws, "rollback", why="first\u2028second\x85third", facts={})

    assert records.audited(ws)[-1]["why"] == "first\u2028second\x85third"


@pytest.mark.parametrize("read", [records.audited, records.proven])
def test_an_entry_written_while_the_audit_is_read_is_no_sign_of_tampering(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, read: Callable[[Workspace], object]
) -> None:
    lines_of = records._audit_lines

    def lines_then_another(ws: Workspace) -> Lines:
        found = lines_of(ws)
        monkeypatch.undo()
        records.audit(ws, "gate", why="meanwhile", facts={})
        return found

    monkeypatch.setattr(records, "_audit_lines", lines_then_another)
    assert read(ws)
    assert len(records.audited(ws)) == 3


class Taken:
    """A log on S3 that grew since it was opened."""

    def __init__(self, found: Lines) -> None:
        self.found = found

    def append(self, line: str) -> None:
        raise LineTakenError(line)


def test_an_entry_written_while_another_is_made_is_followed_and_no_sign_of_tampering(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def opened_and_another(state: LocalState, name: str) -> Iterator[Taken]:
        found = state.lines(name)
        monkeypatch.undo()
        records.audit(ws, "gate", why="meanwhile", facts={})
        yield Taken(found)

    monkeypatch.setattr(LocalState, "appending", opened_and_another)
    records.audit(ws, "deploy", why="after it", facts={})

    assert [entry["why"] for entry in records.audited(ws)[2:]] == ["meanwhile", "after it"]


@pytest.mark.parametrize(
    "damage", [lambda text: text.replace('"n":0', '"n":5'), lambda text: text[len(text) // 2 :]]
)
def test_what_is_torn_or_altered_before_the_end_still_stops_everything(
    ws: Workspace, damage: Callable[[str], str]
) -> None:
    path = ws.path / "audit.jsonl"
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")

    with pytest.raises(Exception, match="audit line 1"):
        records.audit(ws, "deploy", why="", facts={})


def test_an_audit_without_its_last_line_is_told_by_its_head_and_by_the_table(
    ws: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    path, head = ws.path / "audit.jsonl", ws.path / "journal" / "audit-head.json"
    whole = path.read_bytes()
    city = City(name="boston", timezone="America/New_York", country="US")
    shortened = whole[: whole.index(b"\n") + 1]

    path.write_bytes(shortened)
    with pytest.raises(TableError, match="ends with line 1, but 2 lines were written"):
        records.audited(ws)
    with pytest.raises(TableError, match="ends with line 1, but 2 lines were written"):
        records.audit(ws, "deploy", why="", facts={})
    head.unlink()
    with pytest.raises(TableError, match="it was shortened"):
        production.tell(ws, city)
    with pytest.raises(TableError, match="it was shortened"):
        gate.gate(ws, city)

    path.write_bytes(whole + b'{"at":')
    assert "torn by a kill: {" in production.summary(production.tell(ws, city))
    with pytest.raises(BikeshareError):  # nothing is deployed
        gate.gate(ws, city)
    assert "torn by a kill" in caplog.text
