"""ops/ and the pages of operations: generated, complete, and taken by the programs they are for."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mlops_bikeshare.cli import app
from mlops_bikeshare.flows import ops_files, schedule, schedule_airflow
from mlops_bikeshare.flows.releasing import alarms
from mlops_bikeshare.settings import load

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
SETTINGS = load(ROOT, {}, {})
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]
PROMTOOL = shutil.which("promtool")
ANALYZE = shutil.which("systemd-analyze")
promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: apt-get install prometheus")


def checked(*arguments: str) -> None:
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ops_files.files(SETTINGS, ROOT))
def test_a_generated_file_is_what_the_catalogue_says(name: str) -> None:
    assert (ROOT / name).read_text() == ops_files.files(SETTINGS, ROOT)[name], "run `make docs`"


def test_the_runbook_has_a_section_for_each_alarm_and_no_other() -> None:
    found = alarms.load(SETTINGS)
    wanted = {alarm.runbook for alarm in found.alarms} | {event.runbook for event in found.events}

    assert {section.partition("\n")[0] for section in SECTIONS} == wanted | {
        "exporter-down",
        "alarms-unseen",
    }


@pytest.mark.parametrize("section", SECTIONS, ids=lambda text: text.partition("\n")[0])
def test_a_section_says_what_it_means_what_to_check_to_do_and_to_undo(section: str) -> None:
    words = re.findall(r"^\*\*(.+?)\*\*", section, flags=re.MULTILINE)

    assert words == ["Means", "Check", "Act", "Roll back"]


def test_a_page_names_settings_and_commands_that_exist() -> None:
    commands = {one.name for one in app.registered_groups} | {
        one.name or one.callback.__name__.replace("_", "-")
        for one in app.registered_commands
        if one.callback is not None
    }
    for page in (RUNBOOK, (ROOT / "docs" / "ops_sla.md").read_text()):
        typed = re.findall(r"`bikeshare (?:--profile aws )?([a-z-]+)", page)
        assert typed
        assert set(typed) <= commands


@promtool
def test_promtool_takes_configuration_and_rules() -> None:
    assert PROMTOOL is not None
    checked(PROMTOOL, "check", "config", "ops/prometheus/prometheus.yml")
    checked(PROMTOOL, "check", "rules", "ops/prometheus/rules.yml")


@promtool
def test_the_rules_do_what_their_tests_say() -> None:
    assert PROMTOOL is not None
    checked(PROMTOOL, "test", "rules", "ops/prometheus/rules_test.yml")


def test_compose_starts_both_with_files_that_exist_and_opens_nothing() -> None:
    services = yaml.safe_load((OPS / "compose.yaml").read_text())["services"]

    assert set(services) == {"prometheus", "grafana"}
    for service in services.values():
        assert service["profiles"] == ["monitoring"]
        assert ":" in service["image"]
        assert "ports" not in service
        mounted = [volume.partition(":")[0] for volume in service["volumes"]]
        assert all((OPS / path).exists() for path in mounted if path.startswith("."))
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert "--web.listen-address=127.0.0.1:9090" in services["prometheus"]["command"]


def test_prometheus_scrapes_where_exporter_and_host_listen_by_default() -> None:
    config = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0] for job in config["scrape_configs"]}

    assert config["global"]["scrape_interval"] == "15s"
    assert targets["bikeshare-host"] == {"targets": [f"127.0.0.1:{SETTINGS.serving.port}"]}
    assert targets["bikeshare"] == {"targets": ["127.0.0.1:9108"]}


def test_grafana_finds_source_and_dashboards() -> None:
    sources = OPS / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(sources.read_text())["datasources"]
    boards = [json.loads(path.read_text()) for path in (OPS / "grafana/dashboards").glob("*.json")]

    assert {board["title"].removeprefix("bikeshare: ") for board in boards} == {
        "Overview",
        "Model Performance",
        "Drift Monitoring",
        "Training & Deployment",
    }
    for board in boards:
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            assert panel["datasource"]["uid"] == source["uid"]
            assert panel["targets"]


def test_a_crontab_runs_each_job_when_the_settings_say() -> None:
    told = load(ROOT, {}, {"schedule.retrain_at": "00:00", "schedule.ingest_min": 5})
    text = schedule.cron(told, [told.city("paris")], program=Path("/opt/bikeshare"))
    lines = [line for line in text.splitlines() if "* * * *" in line]
    minutes = {line.split(" --workspace main ")[1].split()[0]: line.split()[0] for line in lines}

    assert minutes["poll"] == "4,9,14,19,24,29,34,39,44,49,54,59"
    assert minutes["infer"] == "0,10,20,30,40,50"
    watching = [line for line in lines if " watch " in line]
    assert [line.count("&&") for line in watching] == [0], "it waits for no other command"
    weekly = lines[-1]
    assert r'[ "$(TZ=Europe/Paris date +\%u\%H\%M)" = 70000 ]' in weekly
    assert weekly.endswith("retrain --city paris")
    assert re.search(r"(?<!\\)%", text) is None, "a bare % ends a line of a crontab"


def test_the_jobs_are_commands() -> None:
    known = {
        one.name or one.callback.__name__.replace("_", "-")
        for one in app.registered_commands
        if one.callback is not None
    }
    ran = {c for job in schedule.jobs(SETTINGS, SETTINGS.city()) for c in job.commands}

    assert ran <= known


def test_airflow_runs_the_jobs_of_the_crontab_at_the_same_times_and_promotes_when_asked() -> None:
    told, program = load(ROOT, {}, {"schedule.infer_min": 30}), Path("/opt/bikeshare")
    cities = [told.city("paris"), told.city("boston")]
    crontab = schedule.cron(told, cities, program=program).splitlines()
    plan = json.loads(json.dumps(schedule_airflow.plan(told, cities, program=program)))
    dags = {dag["dag_id"].removeprefix("bikeshare_"): dag for dag in plan["dags"]}
    run = {n: " && ".join(t["command"] for t in dag["tasks"]) for n, dag in dags.items()}

    for name in ("ingest", "infer", "monitor", "watch", "drift"):
        assert f"{dags[f'paris_{name}']['cron']} {run[f'paris_{name}']}" in crontab
    for name in ("nightly", "retrain"):
        assert any(line.endswith(run[f"paris_{name}"]) for line in crontab)
    assert dags["paris_promote"]["cron"] is None
    assert [task["task_id"] for task in dags["paris_promote"]["tasks"]] == ["gate", "promote"]
    assert dags["paris_infer"]["cron"] == "0,30 * * * *"
    assert dags["boston_retrain"]["cron"] == "0 0 * * Sun"
    assert dags["boston_retrain"]["timezone"] == "America/New_York"
    assert len(dags) == 2 * len(schedule.jobs(told, cities[0])) + 2


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze on this machine")
def test_systemd_takes_the_units_and_means_the_same_times(tmp_path: Path) -> None:
    assert ANALYZE is not None
    program = tmp_path / "bikeshare"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = schedule.systemd(SETTINGS, [SETTINGS.city("boston")], program=program)
    for name, text in units.items():
        (tmp_path / name).write_text(text)

    checked(ANALYZE, "verify", *(str(tmp_path / name) for name in units))
    weekly = re.search(r"OnCalendar=(.+)", units["bikeshare-boston-retrain.timer"])
    assert weekly is not None
    assert weekly[1] == "Sun *-*-* 00:00:00 America/New_York"
    checked(ANALYZE, "calendar", weekly[1])
