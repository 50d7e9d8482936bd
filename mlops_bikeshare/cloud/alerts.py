"""Alarms and the CloudWatch dashboard of one city as a template.

Input    PutMetricAlarm's arguments for each alarm of the catalogue, in which ENDPOINTS and CITY
         stand for what the stack is told; the metrics that the dashboard shows.
Output   ops/cloudformation/alerts.yaml as a document.
Source   AWS, CloudWatch API reference, "Dashboard body structure and syntax".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_bikeshare.cloud.template import Document, sub

ENDPOINTS: Mapping[str, str] = {"staging": "${StagingEndpoint}", "prod": "${ProdEndpoint}"}
CITY = "${City}"
_WIDTH, _HEIGHT, _COLUMNS = 12, 6, 2
_TOPIC = {"Ref": "Topic"}
_ALARM = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"
_KEY = {"Fn::ImportValue": {"Fn::Sub": "bikeshare-${Environment}-key"}}
_TAGS = [
    {"Key": "project", "Value": "bikeshare"},
    {"Key": "environment", "Value": {"Ref": "Environment"}},
    {"Key": "city", "Value": {"Ref": "City"}},
]
# Not properties of a stack's alarm, or given otherwise.
_LEFT_OUT = {"AlarmActions", "OKActions", "Tags"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget:
    """A picture of series: (namespace, name, dimensions) each, and a limit drawn across."""

    title: str
    series: Sequence[tuple[str, str, Mapping[str, str]]]
    statistic: str
    period_s: int
    limit: float | None = None


def document(alarms: Sequence[Document], widgets: Sequence[Widget]) -> Document:
    """The template."""
    found = {_logical(alarm["AlarmName"]): _alarm(alarm) for alarm in alarms}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "A city's alarms, from ops/alarms.toml; who is told of them; a dashboard.",
        "Parameters": {
            "Environment": {"Type": "String", "AllowedValues": ["dev", "staging", "prod"]},
            "City": {"Type": "String"},
            "StagingEndpoint": {"Type": "String"},
            "ProdEndpoint": {"Type": "String"},
            "Email": {
                "Type": "String",
                "Description": "Told of everything; empty: nobody, until someone subscribes.",
                "Default": "",
            },
        },
        "Conditions": {"Told": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Email"}, ""]}]}},
        "Resources": {
            "Topic": {
                "Type": "AWS::SNS::Topic",
                "Properties": {
                    "TopicName": sub("bikeshare-${Environment}-${City}"),
                    "KmsMasterKeyId": _KEY,
                    "Tags": _TAGS,
                },
            },
            "TopicPolicy": _topic_policy(),
            "Subscription": {
                "Type": "AWS::SNS::Subscription",
                "Condition": "Told",
                "Properties": {
                    "TopicArn": _TOPIC,
                    "Protocol": "email",
                    "Endpoint": {"Ref": "Email"},
                },
            },
            **found,
            "Dashboard": {
                "Type": "AWS::CloudWatch::Dashboard",
                "Properties": {
                    "DashboardName": sub("bikeshare-${Environment}-${City}"),
                    "DashboardBody": sub(_board(widgets, [a["AlarmName"] for a in alarms])),
                },
            },
        },
        "Outputs": {"Topic": {"Value": _TOPIC}},
    }


def _logical(name: str) -> str:
    """`${ProdEndpoint}-rate-4xx-warn` → `ProdRate4xxWarn`: letters and digits only."""
    for stage, token in ENDPOINTS.items():
        name = name.replace(token, stage)
    return "".join(word[:1].upper() + word[1:] for word in name.split("-"))


def _alarm(definition: Document) -> Document:
    kept = {key: value for key, value in definition.items() if key not in _LEFT_OUT}
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            **sub(kept),
            "AlarmActions": [_TOPIC],
            "OKActions": [_TOPIC],
            "Tags": [*definition["Tags"], *_TAGS],
        },
    }


def _topic_policy() -> Document:
    return {
        "Type": "AWS::SNS::TopicPolicy",
        "Properties": {
            "Topics": [_TOPIC],
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "AlarmsOfThisAccount",
                        "Effect": "Allow",
                        "Principal": {"Service": "cloudwatch.amazonaws.com"},
                        "Action": "sns:Publish",
                        "Resource": _TOPIC,
                        "Condition": {
                            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
                        },
                    },
                    {
                        "Sid": "OnlyOverTls",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "sns:Publish",
                        "Resource": _TOPIC,
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    },
                ],
            },
        },
    }


def _board(widgets: Sequence[Widget], alarms: Sequence[str]) -> str:
    """The dashboard's JSON: the alarms' states above, then two pictures in a row."""
    states = {
        "type": "alarm",
        "x": 0,
        "y": 0,
        "width": _WIDTH * _COLUMNS,
        "height": _HEIGHT,
        "properties": {"title": "Alarms", "alarms": [_ALARM + name for name in alarms]},
    }
    shown = [states, *(_widget(at, widget) for at, widget in enumerate(widgets))]
    return json.dumps({"widgets": shown}, separators=(",", ":"))


def _widget(at: int, widget: Widget) -> Document:
    metrics = [
        [namespace, name, *(part for pair in sorted(of.items()) for part in pair)]
        for namespace, name, of in widget.series
    ]
    limit = [] if widget.limit is None else [{"label": "limit", "value": widget.limit}]
    return {
        "type": "metric",
        "x": at % _COLUMNS * _WIDTH,
        "y": (at // _COLUMNS + 1) * _HEIGHT,
        "width": _WIDTH,
        "height": _HEIGHT,
        "properties": {
            "title": widget.title,
            "region": "${AWS::Region}",
            "view": "timeSeries",
            "stat": widget.statistic,
            "period": widget.period_s,
            "metrics": metrics,
            **({"annotations": {"horizontal": limit}} if limit else {}),
        },
    }
