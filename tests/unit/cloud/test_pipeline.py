"""The definition of SageMaker's Pipeline: its steps are requests that SageMaker's model allows."""

from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.cloud import pipeline
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.settings import Settings, load
from projects.evaluation import SCORES
from tests.sagemaker_jobs_wire import wrong_in

ROOT = Path(__file__).resolve().parents[3]
SET = {
    "jobs.image_url": "123456789012.dkr.ecr.ca-central-1.amazonaws.com/bikeshare-dev-jobs:0.1.0",
    "jobs.role_arn": "arn:aws:iam::123456789012:role/bikeshare-dev-sagemaker_jobs",
    "tracking_uri": "https://mlflow.example.org",
}
ASKS = {
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "RegisterModel": ("CreateModelPackage", None),
}


def settings(**other: Any) -> Settings:
    return load(ROOT, {}, {**SET, **other})


def resolved(value: Any) -> Any:
    """A value as it is once the pipeline runs."""
    if isinstance(value, list):
        return [resolved(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if "Get" in value:
        return "s3://bucket/model.tar.gz" if value["Get"].startswith("Steps.") else "paris"
    if "Std:Join" in value:
        join = value["Std:Join"]
        return join["On"].join(resolved(join["Values"]))
    return {key: resolved(inner) for key, inner in value.items()}


def test_every_step_asks_what_sagemakers_model_allows_and_follows_the_one_before() -> None:
    steps = pipeline.definition(settings(), "boston")["Steps"]
    condition = steps[-1]["Arguments"]

    for step in [*steps[:-1], *condition["IfSteps"]]:
        operation, named = ASKS[step["Type"]]
        arguments = resolved(step["Arguments"]) | ({named: "given-by-it"} if named else {})
        assert wrong_in(operation, arguments) == "", step["Name"]
    assert [step["Name"] for step in steps] == ["Features", "Train", "Evaluate", "GoodEnough"]
    assert steps[1]["DependsOn"] == ["Features"]
    (given,) = steps[2]["Arguments"]["ProcessingInputs"]
    assert given["S3Input"]["S3Uri"] == {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    assert [step["Name"] for step in condition["IfSteps"]] == ["Register"]
    assert [step["Type"] for step in condition["ElseSteps"]] == ["Fail"]


def test_the_condition_asks_what_evaluate_writes_to_reach_the_bars_of_the_gate() -> None:
    told = settings(**{"gate.f1_24h": 0.61})
    *_, evaluate, condition = pipeline.definition(told, "boston")["Steps"]
    asked = condition["Arguments"]["Conditions"]

    assert {one["LeftValue"]["Std:JsonGet"]["Path"] for one in asked} == {
        f"worst.{score}" for score in SCORES
    }
    assert {one["Type"] for one in asked} == {"GreaterThanOrEqualTo"}
    assert {one["RightValue"] for one in asked} == {0.7, 0.61, 0.02}
    (file,) = evaluate["PropertyFiles"]
    (output,) = evaluate["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    assert file["OutputName"] == output["OutputName"]
    read = asked[0]["LeftValue"]["Std:JsonGet"]["PropertyFile"]["Get"]
    assert read == f"Steps.Evaluate.PropertyFiles.{file['PropertyFileName']}"


@pytest.mark.parametrize("key", SET)
def test_what_jobs_need_and_is_not_set_is_named(key: str) -> None:
    known = {name: value for name, value in SET.items() if name != key}
    with pytest.raises(SettingsError, match=f"{key} is not set"):
        pipeline.definition(load(ROOT, {}, known), "boston")


def test_a_training_in_a_job_registers_where_and_what_its_starter_would() -> None:
    told = settings(**{"registry.sagemaker": "yes", "registry.package_group_prefix": "bikeshare-b"})
    steps = pipeline.definition(told, "boston")["Steps"]
    variables = steps[1]["Arguments"]["Environment"]
    (register,) = steps[-1]["Arguments"]["IfSteps"]

    assert load(ROOT, variables, {}).package_group("paris") == "bikeshare-b-paris"
    assert load(ROOT, variables, {}).serving == told.serving
    assert resolved(register["Arguments"]["ModelPackageGroupName"]) == "bikeshare-b-paris"
