"""Grafana's dashboards over what `bikeshare exporter` and the endpoint host show.

Output   file name → JSON text of ops/grafana/dashboards/: Overview, Model Performance (production's
         champion against the challenger on staging), Drift Monitoring, Training & Deployment.
Source   Grafana, "Dashboard JSON model", schema version 39; provisioned, so they have fixed uids.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.monitoring.prometheus_rules import ago

SOURCE = {"type": "prometheus", "uid": "bikeshare"}
WIDTH, HEIGHT, COLUMNS = 12, 8, 2
BOTH = "{{environment}} {{endpoint}}"
DETAIL = "{{environment}} v{{model_version}} {{target}}"
OF = 'city=~"$city"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A picture of some series: expressions with what they are called."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Panels, two in a row."""

    title: str
    panels: Sequence[Panel]

    @property
    def uid(self) -> str:
        """Such as `bikeshare-drift-monitoring`."""
        words = self.title.lower().replace("&", "and").split()
        return "-".join(["bikeshare", *words])


def _of(metric: str, *more: str) -> str:
    return f"bikeshare_{metric}{{{','.join([OF, *more])}}}"


def _versus(metric: str, title: str, *, unit: str = "short", limit: float | None = None) -> Panel:
    """Champion and challenger by target, and the worse target of each endpoint."""
    queries = [(_of(metric), f"{BOTH}, worse target"), (_of(f"{metric}_detail"), DETAIL)]
    return Panel(title=title, queries=queries, unit=unit, limit=limit)


OVERVIEW = Dashboard(
    title="Overview",
    panels=[
        Panel(
            title="Alarms that fire",
            queries=[("bikeshare_alarm_firing == 1", "{{alarm}}")],
            kind="table",
        ),
        Panel(title="Endpoint answers", queries=[(_of("endpoint_up"), BOTH)], kind="stat"),
        Panel(title="Heartbeats in 10 min", queries=[(_of("prediction_heartbeat"), BOTH)]),
        Panel(
            title="Rows the model answered",
            queries=[(_of("batch_success_rate"), BOTH)],
            unit="percentunit",
        ),
        Panel(
            title="Latency of the model, p95",
            queries=[
                (
                    'bikeshare_model_latency_microseconds{statistic="p95"}',
                    "{{environment}} {{variant}} per {{period_s}} s",
                )
            ],
            unit="µs",
            limit=200_000,
        ),
        Panel(
            title="Requests and errors in 10 min",
            queries=[
                (f'bikeshare_{name}{{period_s="600"}}', f"{{{{environment}}}} {words}")
                for name, words in (
                    ("invocations", "requests"),
                    ("invocation_4xx_errors", "refused"),
                    ("invocation_5xx_errors", "failed"),
                )
            ],
        ),
        Panel(
            title="Age of the feed",
            queries=[(_of("feed_age_seconds", 'period_s="300"'), "{{city}}")],
            unit="s",
            limit=900,
        ),
        Panel(
            title="Polls that failed, rows put aside",
            queries=[
                (_of("poll_failures"), "{{city}} polls"),
                (_of("quarantined_rows"), "{{city}} rows"),
            ],
        ),
        Panel(
            title="Requests by status, since the host began",
            queries=[
                (
                    "sum by (endpoint, status) (rate(bikeshare_invocations_total[10m]))",
                    "{{endpoint}} {{status}}",
                )
            ],
            unit="reqps",
        ),
    ],
)
PERFORMANCE = Dashboard(
    title="Model Performance",
    panels=[
        _versus("pr_auc_24h", "PR-AUC, 24 h", limit=0.70),
        _versus("f1_24h", "F1, 24 h", limit=0.55),
        Panel(
            title="Below the champion's own level",
            queries=[
                (
                    f"{_of(f'{name}_reference')} - {_of(f'{name}_24h', statistic)}",
                    f"{{{{endpoint}}}} {words}",
                )
                for name, words, statistic in (
                    ("pr_auc", "PR-AUC", 'statistic="Average"'),
                    ("f1", "F1", 'statistic="Average"'),
                )
            ],
            limit=0.05,
        ),
        _versus("onset_brier_skill_24h", "Onset Brier skill over persistence, 24 h", limit=0.02),
        _versus("onset_pr_auc_24h", "Onset PR-AUC, 24 h"),
        _versus("brier_24h", "Brier score, 24 h"),
        _versus("ece_24h", "Calibration error, 24 h"),
        _versus("quality_samples_24h", "Labelled rows judged, 24 h"),
    ],
)
DRIFT = Dashboard(
    title="Drift Monitoring",
    panels=[
        Panel(title="Largest PSI of a feature", queries=[(_of("psi"), BOTH)], limit=0.2),
        Panel(
            title="Share of features that drift",
            queries=[(_of("drift_share"), BOTH)],
            unit="percentunit",
            limit=0.5,
        ),
        Panel(title="Largest PSI of a target", queries=[(_of("prediction_psi"), BOTH)]),
        Panel(
            title="Stations that came, went and moved",
            queries=[
                (_of(f"stations_{what}"), f"{BOTH} {what}")
                for what in ("appeared", "vanished", "moved")
            ],
        ),
    ],
)
TRAINING = Dashboard(
    title="Training & Deployment",
    panels=[
        Panel(
            title="Who serves",
            queries=[(_of("serving_share"), "{{endpoint}} v{{version}}")],
            unit="percentunit",
            kind="stat",
        ),
        Panel(
            title="Time since the newest release",
            queries=[
                (ago(_of("release_timestamp_seconds")), "{{endpoint}} {{kind}}"),
            ],
            unit="s",
            kind="stat",
        ),
        Panel(title="Releases", queries=[(_of("releases"), "{{endpoint}} {{kind}}")]),
        Panel(
            title="Trainings and retrainings that failed",
            queries=[
                (_of("training_failures"), "{{city}} training"),
                (_of("retrain_failures"), "{{city}} retraining"),
            ],
        ),
        Panel(
            title="Notifications that were not taken",
            queries=[(_of("notification_failures"), "{{city}}")],
        ),
    ],
)
ALL = (OVERVIEW, PERFORMANCE, DRIFT, TRAINING)


def files() -> dict[str, str]:
    """Every dashboard's file."""
    return {
        f"{board.uid.removeprefix('bikeshare-')}.json": json.dumps(
            document(board), indent=1, ensure_ascii=False
        )
        + "\n"
        for board in ALL
    }


def document(board: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    city = {
        "name": "city",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(bikeshare_endpoint_info, city)", "refId": "city"},
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }
    return {
        "uid": board.uid,
        "title": f"bikeshare: {board.title}",
        "tags": ["bikeshare"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [city]},
        "panels": [_panel(panel, at) for at, panel in enumerate(board.panels)],
    }


def _panel(panel: Panel, at: int) -> dict[str, Any]:
    row, column = divmod(at, COLUMNS)
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    custom = {"thresholdsStyle": {"mode": "line"}} if panel.limit is not None else {}
    return {
        "id": at + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
                "instant": panel.kind == "table",
            }
            for i, (expr, legend) in enumerate(panel.queries)
        ],
    }
