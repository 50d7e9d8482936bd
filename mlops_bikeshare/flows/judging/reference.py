"""The level that a champion was judged at: what its own quality is compared with from then on.

Input    the audit: which version is in production, and the gate's pass that it was promoted on.
Output   points of `PR-AUC-Reference` and `F1-Reference`: the 24 h on staging that the gate looked
         at; for a first champion, which had none, the worse target of its own test (the version's
         tags). What neither tells is not posted.

A reference is posted beside every judgement, so that an alarm is the difference of two series and
moves with the champion, in every system that evaluates it.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.monitoring.metrics import point
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release import history

log = logging.getLogger(__name__)
Level = Mapping[str, float]
_TESTED = {"PR-AUC": "test_pr_auc", "F1": "test_f1"}


def points(
    ws: Workspace, city: City, entries: Sequence[Mapping[str, Any]], *, at: datetime
) -> list[MetricPoint]:
    """The level of the version that production settled on; nothing while a canary rests."""
    endpoint = ws.settings.endpoint("prod", city.name)
    reigns = history.reigns(entries, endpoint)
    if not reigns or len(reigns[-1].shares) > 1:
        return []
    version, digest = reigns[-1].version, reigns[-1].artefact_digest
    of = {"EndpointName": endpoint, "City": city.name}
    level = gated(entries, digest) or _tested(ws, city, version)
    return [point(f"{n}-Reference", value, at=at, dimensions=of) for n, value in level.items()]


def gated(entries: Sequence[Mapping[str, Any]], digest: str) -> Level:
    """What the newest pass of this very artefact saw; empty where there is none."""
    for entry in reversed(entries):
        facts = entry["facts"]
        mine = entry["kind"] == "gate" and facts.get("artefact_digest") == digest
        if mine and facts.get("verdict") == "pass":
            seen = {check["name"]: check["value"] for check in facts["checks"]}
            found = {name: seen.get(f"{name}-24h") for name in _TESTED}
            return {name: float(v) for name, v in found.items() if isinstance(v, int | float)}
    return {}


def _tested(ws: Workspace, city: City, version: str) -> Level:
    tracking.connect(ws)
    try:
        return _level_of(ws.settings.mlflow_uri, city.registered_model, version)
    except ModelError as error:
        log.warning("no level to compare %s with: %s", version, error)
        return {}


@lru_cache(maxsize=64)
def _level_of(uri: str, model: str, version: str) -> Level:  # noqa: ARG001 - the store of `model`
    """From the version's tags, which do not change."""
    tags = versions.find(model, version).tags
    read = {name: [tags.get(f"{tag}_{t.name}") for t in TARGETS] for name, tag in _TESTED.items()}
    return {
        name: min(float(text) for text in texts if text is not None)
        for name, texts in read.items()
        if None not in texts
    }
