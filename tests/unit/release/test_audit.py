"""The audit's chain: whatever is changed afterwards shows, and where."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.release import audit

AT = datetime(2021, 9, 2, tzinfo=UTC)


def chain(length: int = 4) -> list[str]:
    lines: list[str] = []
    previous = None
    for number in range(length):
        sealed = audit.entry(
            previous, kind="promote", at=AT + timedelta(minutes=number), who="ada",
            why=f"because é {number}", facts={"version": str(number), "skill": 0.125},
        )  # fmt: skip
        previous = sealed["digest"]
        lines.append(audit.line(sealed))
    return lines


def test_an_untouched_chain_holds_and_gives_its_last_digest() -> None:
    lines = chain()
    assert audit.verify(lines) == json.loads(lines[-1])["digest"]
    assert audit.verify([]) is None
    assert all("\n" not in line for line in lines)


@given(st.integers(0, 3), st.data())
def test_a_changed_character_is_found_on_its_line(number: int, data: st.DataObject) -> None:
    lines = chain()
    place = data.draw(st.integers(0, len(lines[number]) - 1))
    new = data.draw(st.characters(codec="utf-8").filter(lambda c: c != lines[number][place]))
    lines[number] = lines[number][:place] + new + lines[number][place + 1 :]
    with pytest.raises(TableError, match=f"audit line {number + 1} "):
        audit.verify(lines)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_line_taken_out_is_found_where_it_was(gone: int) -> None:
    lines = chain()
    del lines[gone]
    with pytest.raises(TableError, match=f"audit line {gone + 1} does not follow"):
        audit.verify(lines)


def test_lines_in_another_order_are_found() -> None:
    lines = chain()
    lines[1], lines[2] = lines[2], lines[1]
    with pytest.raises(TableError, match="audit line 2 does not follow line 1"):
        audit.verify(lines)


def test_lines_cut_off_at_the_end_show_against_the_last_known_head() -> None:
    lines = chain()
    last = json.loads(lines[-1])["digest"]
    head = audit.Head(len(lines), last)
    assert audit.verify(lines, head=head) == last
    with pytest.raises(TableError, match="it was shortened"):
        audit.verify(lines[:-1], head=head)
    with pytest.raises(TableError, match=f"line {len(lines)} is not the one that was written"):
        audit.verify(lines, head=audit.Head(len(lines), "0" * 12))


def test_another_spelling_of_the_same_entry_is_an_alteration() -> None:
    lines = chain()
    assert audit.verify([f"{line}\n" for line in lines]) == audit.verify(lines)
    lines[2] = lines[2].replace(":", ": ", 1)
    with pytest.raises(TableError, match="audit line 3 was altered"):
        audit.verify(lines)


def test_a_torn_line_is_named() -> None:
    lines = chain()
    with pytest.raises(TableError, match="audit line 4 is torn"):
        audit.verify([*lines[:3], lines[3][:40]])
    for text in ("[]", '{"facts":NaN}', '"\\ud800"', ""):
        with pytest.raises(TableError, match="audit line 1 "):
            audit.verify([text])


def test_times_are_utc_whatever_zone_they_came_in() -> None:
    zone = timezone(timedelta(hours=-4))
    sealed = audit.entry(None, kind="gate", at=AT.astimezone(zone), who="a", why="b", facts={})
    assert sealed["at"] == "2021-09-02T00:00:00Z"
