"""The catalogue as Prometheus rules, over what `bikeshare exporter` shows.

Input    alarms and events of the catalogue.
Output   the text of ops/prometheus/rules.yml: one group for each stage, and one that watches the
         scraping itself.
Source   Prometheus, "Alerting rules" and "Querying: subqueries".

The exporter shows of each series the statistic of the newest period that is over. A period is seen
for as long as the next one lasts, so periods are counted in minutes: `breaching` of `periods` have
breached when the breach was seen for more than `breaching` - 1/2 periods of the last `periods`. The
half keeps a scrape that comes late from counting as a period; it is the most that Prometheus is
later than the evaluator. Where missing data breaches, the good minutes are counted instead, for
every endpoint that has been seen for as long as the alarm looks back: a Prometheus that was started
just now, or an endpoint that was deployed just now, has no silence to tell of yet.
"""

from collections.abc import Iterable
from typing import Any

from mlops_bikeshare.monitoring.alarms import Alarm
from mlops_bikeshare.monitoring.exposition import CLOCK, INFO, LOOKED, name_of
from mlops_bikeshare.monitoring.metrics import metric

STEP_S = 60
JOB = "bikeshare"
# Two looks of ten minutes.
UNSEEN_S = 1200
_INVERSE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}
_HEAD = "# Generated from ops/alarms.toml (`make docs`); do not edit.\n"


def rules(alarms: Iterable[Alarm]) -> str:
    """The YAML document."""
    import yaml

    groups: dict[str, list[dict[str, Any]]] = {}
    for alarm in alarms:
        groups.setdefault(f"bikeshare-{alarm.stage}", []).append(_rule(alarm))
    document = {
        "groups": [
            *({"name": name, "interval": "60s", "rules": found} for name, found in groups.items()),
            {"name": "scraping", "rules": list(_SCRAPING)},
        ]
    }
    return _HEAD + yaml.safe_dump(document, sort_keys=False, width=1000)


def alert_name(alarm: Alarm) -> str:
    """Its name without a city's: the endpoint is a label."""
    return alarm.called(alarm.stage)


def expression(alarm: Alarm) -> str:
    """PromQL that has a series for each endpoint (or variant) where the alarm fires."""
    value, limit = _value(alarm), f"{alarm.threshold:.15g}"
    minutes = alarm.period_s / STEP_S
    reach = f"[{alarm.periods * alarm.period_s}s:{STEP_S}s]"
    if alarm.missing != "breaching":
        if alarm.periods == 1:
            return f"{value} {alarm.relation} {limit}"
        least = (alarm.breaching - 0.5) * minutes
        return f"sum_over_time(({value} {alarm.relation} bool {limit}){reach}) > {least:g}"
    by = "endpoint" if "EndpointName" in metric(alarm.metric).dimensions else "city"
    enough = (alarm.periods - alarm.breaching + 0.5) * minutes
    good = f"sum_over_time(({value} {_INVERSE[alarm.relation]} bool {limit}){reach})"
    seen = f'count_over_time({INFO}{{environment="{alarm.stage}"}}{reach})'
    # A subquery has one step more or less, by how its ends fall.
    known = alarm.periods * minutes - 1
    return f"{seen} >= {known:g} unless on ({by}) {good} >= {enough:g}"


def ago(series: str) -> str:
    """PromQL of the seconds since a time, by the clock of the exporter that showed it.

    There may be several, of workspaces with clocks of their own: the scalar() of two is no number.
    """
    return f"{CLOCK} - on (job, instance) group_right () {series}"


# What watches the watching: no series, no evaluation, no alarm, and that must be one.
_SCRAPING = (
    {
        "alert": "exporter-down",
        "expr": f'up{{job="{JOB}"}} == 0 or absent(up{{job="{JOB}"}})',
        "for": "2m",
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "`bikeshare exporter` does not answer: no alarm below can fire",
            "runbook": "docs/runbook.md#exporter-down",
        },
    },
    {
        "alert": "alarms-unseen",
        "expr": f"{ago(LOOKED)} > {UNSEEN_S}",
        "for": "2m",
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "`bikeshare monitor` has not looked at the alarms for 20 minutes",
            "runbook": "docs/runbook.md#alarms-unseen",
        },
    },
)


def _rule(alarm: Alarm) -> dict[str, Any]:
    return {
        "alert": alert_name(alarm),
        "expr": expression(alarm),
        "labels": {"severity": alarm.severity, "environment": alarm.stage},
        "annotations": {
            "summary": alarm.meaning,
            "runbook": f"docs/runbook.md#{alarm.runbook}",
        },
    }


def _value(alarm: Alarm) -> str:
    """(metric + plus - minus) / per; no value where a term is missing or the divisor is 0."""
    signs = {1: " + ", -1: " - "}
    first, *rest = alarm.terms
    total = _series(alarm, first[0]) + "".join(signs[s] + _series(alarm, n) for n, s in rest)
    if alarm.per is not None:
        total = f"({total}) / ({_series(alarm, alarm.per)} > 0)"
    if alarm.variants == "together":
        return f"sum by (endpoint, environment) ({total})"
    return f"({total})" if alarm.per is not None or rest else total


def _series(alarm: Alarm, name: str) -> str:
    wanted = {"statistic": alarm.statistic, "period_s": str(alarm.period_s)}
    if "EndpointName" in metric(name).dimensions:
        wanted = {"environment": alarm.stage, **wanted}
    labels = ",".join(f'{key}="{value}"' for key, value in wanted.items())
    return f"{name_of(metric(name))}{{{labels}}}"
