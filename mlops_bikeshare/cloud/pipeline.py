"""SageMaker's Pipeline of a city: features, train, evaluate, a condition, register.

Input    settings (`[jobs]`, `[serving]`, the gate's bars), the city; the address of MLflow.
Output   the definition, which CreatePipeline takes as JSON; the city is a parameter of it.
Raises   SettingsError when image, role or MLflow's server are not set.
Source   AWS, SageMaker developer guide, "Pipelines steps" and "Condition"; "Amazon SageMaker
         Pipelines JSON schema", version 2020-12-01.

Every step is one of the jobs of job_requests.py. `evaluate` proves that the archive is a version
that MLflow knows, and hands the scores of its own test to the condition, whose bars are the gate's.
What passes becomes a package of SageMaker's Model Registry that waits for approval: this project
goes by MLflow's aliases, and promotes after a day on staging.
"""

from collections.abc import Mapping
from typing import Any

from mlops_bikeshare.cloud.job_requests import Job, Request, environment, request
from mlops_bikeshare.cloud.model_packages import inference
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.packages import PENDING
from mlops_bikeshare.settings import Settings

SCHEMA = "2020-12-01"
_CITY = {"Get": "Parameters.City"}
_ARCHIVE = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
_FOLDER = "/opt/ml/processing"


def definition(settings: Settings, city: str) -> dict[str, Any]:
    """The document."""
    if settings.tracking_uri is None:
        msg = "tracking_uri is not set: jobs of SageMaker need an MLflow server that they reach"
        raise SettingsError(f"{msg}; set MLFLOW_TRACKING_URI")
    told = environment(settings) | {"MLFLOW_TRACKING_URI": settings.tracking_uri}
    return {
        "Version": SCHEMA,
        "Parameters": [{"Name": "City", "Type": "String", "DefaultValue": city}],
        "Steps": [
            _step("Features", _asked("features", told, settings)),
            _step("Train", _asked("train", told, settings), after="Features"),
            _evaluate(settings, told),
            _condition(settings),
        ],
    }


def _asked(command: str, told: Mapping[str, str], settings: Settings) -> Request:
    job = Job(name="", command=command, parameters={"city": _CITY}, environment=told)
    return request(job, settings)


def _step(name: str, asked: Request, *, after: str = "") -> dict[str, Any]:
    """A job as a step, which gets its name from the pipeline."""
    arguments = {k: v for k, v in asked.arguments.items() if k != f"{asked.kind}JobName"}
    step = {"Name": name, "Type": asked.kind, "Arguments": arguments}
    return step | ({"DependsOn": [after]} if after else {})


def _evaluate(settings: Settings, told: Mapping[str, str]) -> dict[str, Any]:
    step = _step("Evaluate", _asked("evaluate", told, settings))
    where = [
        f"s3://{settings.serving.bucket}/evaluations",
        {"Get": "Execution.PipelineExecutionId"},
    ]
    step["Arguments"] |= {
        "ProcessingInputs": [
            {
                "InputName": "model",
                "S3Input": {
                    "S3Uri": _ARCHIVE,
                    "LocalPath": f"{_FOLDER}/model",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "evaluation",
                    "S3Output": {
                        "S3Uri": {"Std:Join": {"On": "/", "Values": where}},
                        "LocalPath": f"{_FOLDER}/evaluation",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
    }
    file = {
        "PropertyFileName": "evaluation",
        "OutputName": "evaluation",
        "FilePath": "evaluation.json",
    }
    return step | {"PropertyFiles": [file]}


def _condition(settings: Settings) -> dict[str, Any]:
    read = {"Get": "Steps.Evaluate.PropertyFiles.evaluation"}
    return {
        "Name": "GoodEnough",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [
                {
                    "Type": "GreaterThanOrEqualTo",
                    "LeftValue": {"Std:JsonGet": {"PropertyFile": read, "Path": f"worst.{score}"}},
                    "RightValue": bar,
                }
                for score, bar in settings.gate.of_its_own_test.items()
            ],
            "IfSteps": [_register(settings)],
            "ElseSteps": [
                {
                    "Name": "TooWeak",
                    "Type": "Fail",
                    "Arguments": {"ErrorMessage": "its own test is below the bars of the gate"},
                }
            ],
        },
    }


def _register(settings: Settings) -> dict[str, Any]:
    group = {"Std:Join": {"On": "-", "Values": [settings.registry.package_group_prefix, _CITY]}}
    return {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": group,
            "ModelApprovalStatus": PENDING,
            "InferenceSpecification": inference(settings.serving, _ARCHIVE),
        },
    }
