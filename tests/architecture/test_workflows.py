"""GitHub's workflows: pinned, with few rights, and made of make targets that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_bikeshare.cloud import template
from mlops_bikeshare.release.plan import SHARES_PCT
from mlops_bikeshare.settings import load

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
        assert int(job["timeout-minutes"]) <= 360, "GitHub ends a job after six hours"


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


def test_a_canary_can_land_while_the_promotion_and_its_session_last() -> None:
    settings = load(ROOT, {}, {})
    job = WORKFLOWS["promote_prod"]["jobs"]["promote"]
    kept = [step["run"] for step in job["steps"] if "--minutes" in step.get("run", "")]
    watched_min = int(re.findall(r"--minutes (\d+)", kept[0])[0])
    (session_s,) = (int(s["with"]["role-duration-seconds"]) for s in job["steps"] if is_role(s))
    role = template.read((ROOT / "ops/cloudformation/deployer.yaml").read_text())["Resources"]

    held_min = len(SHARES_PCT) * settings.guard.hold_batches * settings.schedule.infer_min
    assert watched_min >= held_min + MATURES_MIN
    assert int(job["timeout-minutes"]) >= watched_min + MOVES_MIN
    assert session_s / 60 >= watched_min + MOVES_MIN
    assert role["Deployer"]["Properties"]["MaxSessionDuration"] >= session_s


# Labels of the promised horizon; a deploy, the minutes in which SageMaker moves an endpoint.
MATURES_MIN, MOVES_MIN = 60, 45


def is_role(step: dict[str, Any]) -> bool:
    return "configure-aws-credentials" in step.get("uses", "")


def test_no_session_is_longer_than_its_role_gives_and_no_shorter_than_its_job() -> None:
    longest = {"DEPLOYER_ROLE_ARN": 19800, "GATE_ROLE_ARN": 3600}
    for name, found in WORKFLOWS.items():
        for job in found["jobs"].values():
            for step in filter(is_role, job["steps"]):
                asked = int(step["with"]["role-duration-seconds"])
                (role,) = re.findall(r"vars\.(\w+)", step["with"]["role-to-assume"])
                assert int(job["timeout-minutes"]) * 60 <= asked <= longest[role], name


def test_the_alarm_rules_are_checked_by_the_program_they_are_for() -> None:
    ran = [step.get("run", "") for step in WORKFLOWS["ci"]["jobs"]["operations"]["steps"]]
    (installs,) = [i for i, run in enumerate(ran) if "prometheus" in run.split()]

    assert installs < ran.index("make check-ops")
    assert "command -v promtool" in MAKEFILE  # a test that is skipped says nothing


def test_two_releases_of_a_city_wait_for_each_other() -> None:
    for name in ("promote_prod", "rollback", "train"):
        group = WORKFLOWS[name]["concurrency"]
        assert group == {"group": "release-${{ inputs.city }}", "cancel-in-progress": "false"}
    retrains = WORKFLOWS["drift-retrain"]["jobs"]["retrain"]["concurrency"]
    assert retrains == {"group": "release-${{ vars.CITY }}", "cancel-in-progress": "false"}
