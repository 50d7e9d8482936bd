"""How metrics of the store are called in Prometheus, and the text that it scrapes.

Input    Samples: a name, labels, a value; help texts.
Output   the text exposition format 0.0.4. Label values are escaped by prometheus-client; a series
         without a value now is left out, so that Prometheus sees it end (never a made-up 0).
Source   Prometheus, "Exposition formats" and "Metric and label naming".

A metric keeps its unit: `ModelLatency` is `bikeshare_model_latency_microseconds`, because the
alarms' thresholds are in it. Series by version and target have names of their own (`…_detail`), so
that a rule about an endpoint meets one series each.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mlops_bikeshare.monitoring.metrics import Metric

PREFIX = "bikeshare"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
INFO = f"{PREFIX}_endpoint_info"
CLOCK = f"{PREFIX}_clock_timestamp_seconds"
LOOKED = f"{PREFIX}_alarms_looked_at_timestamp_seconds"
_WORDS = re.compile(r"[A-Z]+\d+(?![A-Zh])|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+(?:XX|h)?")
_UNITS = {"Microseconds": "microseconds", "Seconds": "seconds"}
_LABELS = {"EndpointName": "endpoint", "VariantName": "variant", "City": "city"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of one series, as it is now."""

    name: str
    value: float
    meaning: str
    labels: Mapping[str, str] = field(default_factory=dict)


def name_of(metric: Metric) -> str:
    """Such as `bikeshare_pr_auc_24h`."""
    base = metric.name.removesuffix("_s")
    unit = _UNITS.get(metric.unit)
    words = [word.lower() for word in _WORDS.findall(base)]
    return "_".join([PREFIX, *words, *([unit] if unit else [])])


def label_of(dimension: str) -> str:
    """Such as `model_version`."""
    return _LABELS.get(dimension) or "_".join(w.lower() for w in _WORDS.findall(dimension))


def text(samples: Iterable[Sample]) -> bytes:
    """Everything, sorted by name; series of one name have the same labels, empty where unknown."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    registry = CollectorRegistry()
    for name, group in sorted(by_name.items()):
        labels = _labels(group)
        gauge = Gauge(name, group[0].meaning, labels, registry=registry)
        for sample in group:
            values = [sample.labels.get(label, "") for label in labels]
            (gauge.labels(*values) if labels else gauge).set(sample.value)
    return generate_latest(registry)


def _labels(group: Sequence[Sample]) -> list[str]:
    return sorted({label for sample in group for label in sample.labels})
