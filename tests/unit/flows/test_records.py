"""Records: what a kill leaves behind is mended by the next line, in the file and in the table."""

import shutil
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.domain.tables import MONITORING_AUDIT
from mlops_bikeshare.flows import records
from mlops_bikeshare.settings import load

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    return open_workspace(load(tmp_path, {}, {}), simulated=True)


def told(ws: Workspace, number: int, city: str = "boston") -> str:
    facts = {"city": city, "endpoint": "bikeshare-prod", "version": str(number)}
    return records.audit(ws, "promotion", why=f"because {number}", facts=facts)


def test_every_line_is_a_row_of_the_table_with_its_place_in_the_chain(ws: Workspace) -> None:
    digests = [told(ws, 1), told(ws, 2, "nyc"), told(ws, 3)]
    rows = ws.query.run("SELECT * FROM monitoring_audit ORDER BY number")
    assert list(rows["digest"]) == digests
    assert list(rows["city"]) == ["boston", "nyc", "boston"]
    assert list(rows["previous"].fillna("")) == ["", *digests[:2]]
    assert list(rows["model_version"]) == ["1", "2", "3"]


def test_a_line_torn_by_a_kill_does_not_count_and_the_next_one_starts_clean(ws: Workspace) -> None:
    told(ws, 1)
    path = ws.path / "audit.jsonl"
    path.write_text(path.read_text() + '{"kind": "promo')
    assert len(records.audited(ws)) == 1
    told(ws, 2)
    assert [e["why"] for e in records.audited(ws)] == ["because 1", "because 2"]


def test_rows_that_a_kill_kept_from_the_table_come_with_the_next_line(ws: Workspace) -> None:
    digests = [told(ws, number) for number in (1, 2, 3)]
    for number in (2, 3):
        (row,) = (ws.path / "lake").rglob(f"{number:08d}_*.parquet")
        row.unlink()
    digests.append(told(ws, 4))
    rows = Workspace(ws.settings, ws.clock).lake.read(MONITORING_AUDIT, city="boston")
    assert list(rows.sort_values("number")["digest"]) == digests


def test_an_altered_line_takes_no_further_one(ws: Workspace) -> None:
    told(ws, 1)
    path = ws.path / "audit.jsonl"
    path.write_text(path.read_text().replace("because 1", "because 7"))
    with pytest.raises(TableError, match="audit line 1 was altered"):
        told(ws, 2)


def test_a_workspace_remembers_which_endpoint_the_dashboard_shows(ws: Workspace) -> None:
    assert ws.sm_endpoint is None
    ws.show("bikeshare-prod")
    ws.advance(ws.now)
    assert open_workspace(ws.settings).sm_endpoint == "bikeshare-prod"
