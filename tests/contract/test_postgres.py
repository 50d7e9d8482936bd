"""MLflow's store and the audit's copy on a real PostgreSQL."""

import json
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.errors import LakeError, SettingsError, TableError
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.lake.postgres import PostgresAudit
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.register import register
from mlops_bikeshare.settings import load
from tests.contract.postgres import Server, postgres
from tests.e2e.shown import shown
from tests.e2e.versions import artifacts, rows

TOML = """
default_city = "small"
[cities.small]
timezone = "America/Toronto"
country = "CA"
"""
URL = "postgresql:///bikeshare"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as running, pytest.MonkeyPatch.context() as patched:
        for name, value in running.environment.items():
            patched.setenv(name, value)
        running.run("createdb", "bikeshare")
        yield running


def opened(home: Path, mirror: str = URL) -> Workspace:
    (home / "bikeshare.toml").write_text(TOML)
    return open_workspace(load(home, {}, {"audit.mirror": mirror, "tracking_uri": URL}))


@pytest.fixture
def ws(server: Server, tmp_path: Path) -> Workspace:
    server.run("psql", "bikeshare", "-qc", "DROP TABLE IF EXISTS bikeshare_audit")
    return opened(tmp_path)


def decide(ws: Workspace, *kinds: str) -> None:
    for kind in kinds:
        records.audit(ws, kind, why='it\'s "so"', facts={"city": "small", "n": 1})


@pytest.mark.long
def test_runs_versions_and_aliases_live_in_postgresql(server: Server, tmp_path: Path) -> None:
    ws = opened(tmp_path)
    city = ws.settings.city()
    with tracking.run(ws, city, "one", {"kind": "training"}) as run:
        tracking.log_steps(run.info.run_id, [("brier", 0.1, 30), ("brier", 0.2, 60)])
        made = register(
            artifacts(tmp_path / "v", seed=1), name=city.registered_model, tags={}, probe=rows()
        )
    versions.move_alias(city.registered_model, versions.CHAMPION, "1", expected=None)

    found = versions.find(city.registered_model, versions.CHAMPION)
    assert (found.version, found.digest, found.run_id) == ("1", made.digest, run.info.run_id)
    assert versions.download(found, tmp_path / "again").is_dir()
    assert (tmp_path / "mlartifacts").is_dir(), "files lie beside where mlflow.db would be"
    counted = "SELECT count(*) FROM metrics WHERE key = 'brier'"
    assert server.run("psql", "bikeshare", "-Atc", counted).strip() == "2"


def test_every_decision_is_copied_and_the_copy_cannot_be_changed(
    server: Server, ws: Workspace
) -> None:
    decide(ws, "deploy", "gate")
    asked = "SELECT number, digest, kind, why, facts FROM bikeshare_audit ORDER BY number"
    lines = server.run("psql", "bikeshare", "-AtF|", "-c", asked).splitlines()
    entries, torn = records.proven(ws)
    assert torn is None
    assert [line.split("|")[:4] for line in lines] == [
        [str(n), e["digest"], e["kind"], e["why"]] for n, e in enumerate(entries, start=1)
    ]
    assert json.loads(lines[0].split("|")[4]) == {"city": "small", "n": 1}
    for change in (
        "UPDATE bikeshare_audit SET who = 'eve'", "DELETE FROM bikeshare_audit",
        "TRUNCATE bikeshare_audit",
    ):  # fmt: skip
        with pytest.raises(AssertionError, match="never changed"):
            server.run("psql", "bikeshare", "-c", change)


def test_an_audit_that_was_rewritten_with_its_head_and_table_is_found_by_its_copy(
    ws: Workspace, tmp_path: Path
) -> None:
    decide(ws, "deploy", "gate", "promotion")
    (tmp_path / "elsewhere").mkdir()
    forged = opened(tmp_path / "elsewhere")
    lone = Workspace(load(forged.settings.root, {}, {}), forged.clock)
    decide(lone, "deploy", "gate", "rollback")
    with pytest.raises(TableError, match="line 3 is not the one that was written"):
        records.proven(forged)
    copy, told = forged.audit_copy, records.audited(lone)
    assert copy is not None
    with pytest.raises(TableError, match="line 3 of the audit is not the one that its copy"):
        copy.keep(told)


def test_while_it_is_away_decisions_stand_nothing_is_proven_and_the_next_brings_it_up_to_date(
    ws: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    away = opened(ws.settings.root, "postgresql:///gone")
    decide(away, "deploy", "gate")
    assert "the audit's copy is behind" in caplog.text
    with pytest.raises(LakeError, match="postgresql:///gone"):
        records.proven(away)
    assert len(records.audited(away)) == 2

    decide(ws, "promotion")
    assert ws.audit_copy is not None
    assert ws.audit_copy.newest() == (3, records.audited(ws)[-1]["digest"])


def test_an_address_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError, match="expected an address such as postgresql") as refused:
        PostgresAudit("mysql://me:hunter2@host/db", workspace="main")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "rest",
    [
        "me:hunter2%zz@127.0.0.1:1/db",  # libpq names what it cannot decode
        "me:half@hunter2@127.0.0.1:1/db",  # and takes the second half for a host
        "me:hunter2@[::1:1/db",
        "me@127.0.0.1:1/db?password=hunter2%zz",
    ],
)
def test_what_the_database_says_is_told_without_any_part_of_the_password(rest: str) -> None:
    with pytest.raises(LakeError, match="audit's copy at postgresql://") as away:
        PostgresAudit(f"postgresql://{rest}", workspace="main").newest()
    told = "".join(traceback.format_exception(away.value, chain=True))
    assert "hunter2" not in told.replace(rest, "")
    assert "hunter2" not in str(away.value)


def test_the_page_shows_it(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(ws, "deploy", "gate")
    monkeypatch.setenv("BIKESHARE_HOME", str(ws.settings.root))
    bikeshare = f'bikeshare() {{ {sys.executable} -m mlops_bikeshare "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-euc", bikeshare + shown("PostgreSQL", "bash")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bikeshare-prod" in done.stdout
    assert "(2 rows)" in done.stdout
