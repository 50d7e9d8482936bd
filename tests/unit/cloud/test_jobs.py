"""The jobs' template: what becomes of an event whose first try took all of its time."""

from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.cloud import template

ROOT = Path(__file__).resolve().parents[3]
JOBS = template.read((ROOT / "ops" / "cloudformation" / "jobs.yaml").read_text())["Resources"]
NAMES = ("Ingest", "Infer", "Monitor", "Drift", "Compact")
# Lambda waits for a minute before it tries an event again that timed out.
PAUSE_S = 60
# Until the next event of the job comes, by its schedule.
NEXT_S = {"Ingest": 300, "Infer": 600, "Drift": 3600, "Compact": 86_400}


def of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = JOBS[name]["Properties"]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_an_event_that_timed_out_is_young_enough_to_be_tried_again(name: str) -> None:
    took_s = of(f"{name}Function")["Timeout"]
    calls = of(f"{name}Calls")

    assert calls["MaximumRetryAttempts"] == 1
    assert calls["MaximumEventAgeInSeconds"] > took_s + PAUSE_S


@pytest.mark.parametrize(("name", "next_s"), NEXT_S.items())
def test_an_event_does_not_outlive_the_next_one(name: str, next_s: int) -> None:
    (target,) = of(f"{name}Schedule")["Targets"]

    assert of(f"{name}Calls")["MaximumEventAgeInSeconds"] < next_s
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] < next_s


def test_what_is_given_up_lies_in_the_queue_that_has_an_alarm() -> None:
    queue = {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    for name in NAMES:
        (target,) = of(f"{name}Schedule")["Targets"]
        assert target["DeadLetterConfig"]["Arn"] == queue
        assert of(f"{name}Function")["DeadLetterConfig"]["TargetArn"] == queue
    watched = of("DeadLettersAlarm")["Dimensions"][0]["Value"]
    assert watched == {"Fn::GetAtt": ["DeadLetters", "QueueName"]}


@pytest.mark.parametrize("name", NAMES)
def test_the_schedule_may_call_its_function_by_the_rules_own_arn(name: str) -> None:
    permission = of(f"{name}Permission")

    assert permission["SourceArn"] == {"Fn::GetAtt": [f"{name}Schedule", "Arn"]}
    assert "SourceAccount" not in permission, "EventBridge tells the rule, not the account"


def test_a_name_and_a_password_for_mlflow_come_from_a_secret_or_not_at_all() -> None:
    for name in NAMES:
        told = of(f"{name}Function")["Environment"]["Variables"]
        for part in ("username", "password"):
            condition, secret, otherwise = told[f"MLFLOW_TRACKING_{part.upper()}"]["Fn::If"]
            assert condition == "SignedIn"
            assert secret["Fn::Sub"].endswith(f":SecretString:{part}}}}}")
            assert otherwise == {"Ref": "AWS::NoValue"}
