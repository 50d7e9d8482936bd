"""GitHub's workflows: pinned, with few rights, and made of make targets that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, flags=re.MULTILINE))
WORKFLOWS: dict[str, Any] = {
    path.stem: yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - text only
    for path in FOLDER.glob("*.yml")
}
STEPS = [
    (name, step)
    for name, found in WORKFLOWS.items()
    for job in found["jobs"].values()
    for step in job["steps"]
]
# What a step tells the next job (within an echo its failure would be lost); what a runner lacks.
OTHERS = ("jq -r ", "sudo apt-get ")


def test_there_is_one_for_each_occasion() -> None:
    assert set(WORKFLOWS) == {"ci", "train", "promote_prod", "rollback", "drift-retrain", "nightly"}


def test_every_step_is_a_pinned_action_or_a_make_target_that_exists() -> None:
    for name, step in STEPS:
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), name
            continue
        for line in step["run"].strip().splitlines():
            if not line.startswith(OTHERS):
                words = line.split()
                assert words[0] == "make", f"{name}: {line}"
                assert words[1] in TARGETS, f"{name}: {line}"


def test_no_input_is_pasted_into_a_command() -> None:
    for name, step in STEPS:
        assert "${{" not in step.get("run", ""), name


@pytest.mark.parametrize("name", WORKFLOWS)
def test_rights_are_given_job_by_job_and_only_who_needs_a_role_gets_a_token(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}
    for job in WORKFLOWS[name]["jobs"].values():
        asks = any("configure-aws-credentials" in step.get("uses", "") for step in job["steps"])
        wanted = {"contents": "read"} | ({"id-token": "write"} if asks else {})
        assert job["permissions"] == wanted
        assert ("environment" in job) == asks, "a role trusts an environment"
        assert int(job["timeout-minutes"]) <= 180


def test_a_promotion_goes_from_gate_to_people_to_promotion_to_watching() -> None:
    found = WORKFLOWS["promote_prod"]
    asked = set(found["on"]["workflow_dispatch"]["inputs"])
    jobs = found["jobs"]

    assert asked == {
        *("region", "city", "staging_endpoint", "prod_endpoint"),
        *("model_version", "instance_type", "canary"),
    }
    assert jobs["promote"]["needs"] == "gate"
    assert (jobs["gate"]["environment"], jobs["promote"]["environment"]) == ("prod-gate", "prod")
    ran = [step["run"].split()[1] for step in jobs["promote"]["steps"] if "run" in step]
    assert ran == ["setup", "gate", "promote", "watch", "watch", "history"]
    told = found["env"]
    assert {told["BIKESHARE_EXPECT_VERSION"], told["BIKESHARE_EXPECT_PROD"]} == {
        "${{ inputs.model_version }}",
        "${{ inputs.prod_endpoint }}",
    }


def test_the_alarm_rules_are_checked_by_the_program_they_are_for() -> None:
    ran = [step.get("run", "") for step in WORKFLOWS["ci"]["jobs"]["operations"]["steps"]]
    (installs,) = [i for i, run in enumerate(ran) if "prometheus" in run.split()]

    assert installs < ran.index("make check-ops")
    assert "command -v promtool" in MAKEFILE  # a test that is skipped says nothing


def test_two_releases_of_a_city_wait_for_each_other() -> None:
    for name in ("promote_prod", "rollback", "train"):
        group = WORKFLOWS[name]["concurrency"]
        assert group == {"group": "release-${{ inputs.city }}", "cancel-in-progress": "false"}
