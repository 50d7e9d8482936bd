"""The jobs of one city as a template: a Lambda each, from one image, on a schedule.

Input    the minutes and hours of each job (`Job`), which flows/schedule.py knows.
Output   ops/cloudformation/jobs.yaml as a document.
Source   AWS, Lambda developer guide, "Retain records of asynchronous invocations", "Configuring
         reserved concurrency"; EventBridge user guide, "Cron expressions".

One runs at a time, so that an event that is delivered twice makes no second batch. What failed
twice, or was not started within its age, lies in a queue that has an alarm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.cloud.template import Document, sub

HANDLER = "mlops_bikeshare.jobs.handler.handler"
_OWN = "bikeshare-${Environment}-${City}"
_KEY = {"Fn::ImportValue": {"Fn::Sub": "bikeshare-${Environment}-key"}}
_TAGS = [
    {"Key": "project", "Value": "bikeshare"},
    {"Key": "environment", "Value": {"Ref": "Environment"}},
    {"Key": "city", "Value": {"Ref": "City"}},
]
_SKIP = {
    "checkov": {
        "skip": [
            {"id": "CKV_AWS_117", "comment": "it talks to services of AWS and a public feed only"},
            {"id": "CKV_AWS_272", "comment": "an image: Lambda signs archives only"},
        ]
    }
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A Lambda: what it is called, when it runs (cron of EventBridge), how long it may take.

    `worth_s`: how old an event may be and still be worth its while; a second try, which comes after
    a first that took all of its time, must be younger.
    """

    name: str
    when: str
    timeout_s: int
    worth_s: int


def document(jobs: Sequence[Job]) -> Document:
    """The template."""
    resources: Document = {"DeadLetters": _queue(), "DeadLettersPolicy": _queue_policy()}
    for job in jobs:
        resources |= _resources(job)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The jobs of one city: a Lambda each, from one image, on a schedule.",
        "Parameters": _PARAMETERS,
        "Conditions": {
            "Tracked": {"Fn::Not": [{"Fn::Equals": [{"Ref": "TrackingUri"}, ""]}]},
            "SignedIn": {"Fn::Not": [{"Fn::Equals": [{"Ref": "TrackingSecret"}, ""]}]},
        },
        "Resources": resources | {"DeadLettersAlarm": _alarm()},
    }


_NAME = "[a-z0-9][a-z0-9-]*"
_PARAMETERS: Document = {
    "Environment": {"Type": "String", "AllowedValues": ["dev", "staging", "prod"]},
    "City": {"Type": "String", "AllowedPattern": _NAME},
    "DefaultCity": {"Type": "String", "Description": "It owns the short names of endpoints."},
    "Workspace": {"Type": "String", "AllowedPattern": _NAME},
    "JobsImage": {
        "Type": "String",
        "Description": "Tag of the image in the environment's repository.",
        "AllowedPattern": "[A-Za-z0-9._-]+",
    },
    "TrackingUri": {
        "Type": "String",
        "Description": "The MLflow server; empty until there is one.",
        "Default": "",
    },
    "TrackingSecret": {
        "Type": "String",
        "Description": (
            "Secret of Secrets Manager with the username and the password of a user of that "
            "server; empty: it asks for none."
        ),
        "Default": "",
    },
    "MemoryMb": {"Type": "Number", "MinValue": 512, "MaxValue": 10240},
    "KeepLogsDays": {"Type": "Number"},
}


def _resources(job: Job) -> Document:
    called = job.name.capitalize()
    name = f"{_OWN}-{job.name}"
    return {
        f"{called}Logs": {
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "LogGroupName": sub(f"/aws/lambda/{name}"),
                "RetentionInDays": {"Ref": "KeepLogsDays"},
                "KmsKeyId": _KEY,
                "Tags": _TAGS,
            },
        },
        f"{called}Function": _function(job, name),
        f"{called}Calls": {
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {
                "FunctionName": {"Ref": f"{called}Function"},
                "Qualifier": "$LATEST",
                "MaximumRetryAttempts": 1,
                "MaximumEventAgeInSeconds": job.worth_s,
            },
        },
        f"{called}Schedule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": sub(name),
                "Description": f"When {job.name} runs (UTC).",
                "ScheduleExpression": f"cron({job.when})",
                "State": "ENABLED",
                "Targets": [_target(job)],
            },
        },
        f"{called}Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": {"Ref": f"{called}Function"},
                "Principal": "events.amazonaws.com",
                "SourceArn": {"Fn::GetAtt": [f"{called}Schedule", "Arn"]},
            },
        },
    }


def _function(job: Job, name: str) -> Document:
    role = _arn("iam", f"role/bikeshare-${{Environment}}-{job.name}", region="")
    image = "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}"
    return {
        "Type": "AWS::Lambda::Function",
        "DependsOn": f"{job.name.capitalize()}Logs",
        "Metadata": _SKIP,
        "Properties": {
            "FunctionName": sub(name),
            "PackageType": "Image",
            "Code": {"ImageUri": sub(image + "/bikeshare-${Environment}-jobs:${JobsImage}")},
            "ImageConfig": {"Command": [HANDLER]},
            "Role": sub(role),
            "MemorySize": {"Ref": "MemoryMb"},
            "EphemeralStorage": {"Size": 2048},
            "Timeout": job.timeout_s,
            "ReservedConcurrentExecutions": 1,
            "DeadLetterConfig": {"TargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}},
            "KmsKeyArn": _KEY,
            "TracingConfig": {"Mode": "Active"},
            "Environment": {"Variables": {"BIKESHARE_JOB": job.name, **_variables()}},
            "Tags": _TAGS,
        },
    }


def _variables() -> Document:
    bucket = "bikeshare-${Environment}-{kind}-${AWS::AccountId}-${AWS::Region}"
    serving = _arn("iam", "role/bikeshare-${Environment}-sagemaker_execution", region="")
    return {
        "BIKESHARE_PROFILE": "aws",
        "BIKESHARE_REGION": {"Ref": "AWS::Region"},
        "BIKESHARE_WORKSPACE": {"Ref": "Workspace"},
        "BIKESHARE_DEFAULT_CITY": {"Ref": "DefaultCity"},
        "BIKESHARE_CITY": {"Ref": "City"},
        "BIKESHARE_LAKE__BUCKET": sub(bucket.replace("{kind}", "lake")),
        "BIKESHARE_LAKE__WORKGROUP": sub("bikeshare-${Environment}"),
        "BIKESHARE_SERVING__BUCKET": sub(bucket.replace("{kind}", "models")),
        "BIKESHARE_SERVING__EXECUTION_ROLE_ARN": sub(serving),
        "BIKESHARE_NOTIFY__SNS_TOPIC": sub(_arn("sns", _OWN)),
        "MLFLOW_TRACKING_URI": {
            "Fn::If": ["Tracked", {"Ref": "TrackingUri"}, {"Ref": "AWS::NoValue"}]
        },
        "MLFLOW_TRACKING_USERNAME": _secret("username"),
        "MLFLOW_TRACKING_PASSWORD": _secret("password"),
    }


def _secret(part: str) -> Document:
    """CloudFormation reads it when it deploys; Lambda keeps it under the environment's key."""
    told = "{{resolve:secretsmanager:${TrackingSecret}:SecretString:" + part + "}}"
    return {"Fn::If": ["SignedIn", {"Fn::Sub": told}, {"Ref": "AWS::NoValue"}]}


def _target(job: Job) -> Document:
    called = job.name.capitalize()
    return {
        "Id": job.name,
        "Arn": {"Fn::GetAtt": [f"{called}Function", "Arn"]},
        "InputTransformer": {
            "InputPathsMap": {"time": "$.time"},
            "InputTemplate": sub(f'{{"job": "{job.name}", "city": "${{City}}", "time": <time>}}'),
        },
        "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": job.worth_s},
        "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}},
    }


def _queue() -> Document:
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "QueueName": sub(f"{_OWN}-dead-letters"),
            "KmsMasterKeyId": _KEY,
            "MessageRetentionPeriod": 1_209_600,
            "Tags": _TAGS,
        },
    }


def _queue_policy() -> Document:
    queue: Any = {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [{"Ref": "DeadLetters"}],
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "SchedulesOfThisCity",
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": queue,
                        "Condition": {
                            "ArnLike": {"aws:SourceArn": sub(_arn("events", f"rule/{_OWN}-*"))}
                        },
                    },
                    {
                        "Sid": "OnlyOverTls",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "sqs:*",
                        "Resource": queue,
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    },
                ],
            },
        },
    }


def _alarm() -> Document:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": sub(f"{_OWN}-dead-letters"),
            "AlarmDescription": "A job failed twice, or was never started. docs/aws.md#jobs",
            "Namespace": "AWS/SQS",
            "MetricName": "ApproximateNumberOfMessagesVisible",
            "Dimensions": [
                {"Name": "QueueName", "Value": {"Fn::GetAtt": ["DeadLetters", "QueueName"]}}
            ],
            "Statistic": "Maximum",
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": 0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": [sub(_arn("sns", _OWN))],
        },
    }


def _arn(service: str, rest: str, *, region: str = "${AWS::Region}") -> str:
    return f"arn:${{AWS::Partition}}:{service}:{region}:${{AWS::AccountId}}:{rest}"
