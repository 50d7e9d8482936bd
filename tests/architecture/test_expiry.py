"""What the lake's bucket forgets: what may be forgotten, and never the audit."""

from pathlib import Path

import pytest

from mlops_bikeshare.cloud import template
from mlops_bikeshare.domain.tables import MONITORING_AUDIT, MONITORING_DRIFT, MONITORING_QUALITY
from mlops_bikeshare.flows.compact import PASSING
from mlops_bikeshare.flows.judging.drift_windows import REPORTS
from mlops_bikeshare.lake import s3_state
from mlops_bikeshare.monitoring.cloudwatch import MARKS

ROOT = Path(__file__).resolve().parents[2]
DATA = template.read((ROOT / "ops" / "cloudformation" / "data.yaml").read_text())
RULES = DATA["Resources"]["LakeBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
EXPIRING = [
    rule["Prefix"]["Fn::Sub"].removeprefix("${Workspace}/")
    for rule in RULES
    if "ExpirationInDays" in rule
]


def expires(folder: str) -> bool:
    """Whether an object of a folder falls under a rule."""
    return any(f"{folder}/city=boston/".startswith(prefix) for prefix in EXPIRING)


@pytest.mark.parametrize("folder", [MONITORING_AUDIT.location, s3_state.FOLDER])
def test_the_audit_never_expires(folder: str) -> None:
    assert not expires(folder)
    assert MONITORING_AUDIT not in PASSING


@pytest.mark.parametrize(
    "folder", [MONITORING_QUALITY.location, MONITORING_DRIFT.location, REPORTS, MARKS]
)
def test_the_rest_of_monitoring_expires(folder: str) -> None:
    assert expires(folder)
