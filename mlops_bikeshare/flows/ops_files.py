"""The files of operations that are made of the catalogue of alarms and of other contracts.

Input    settings, whose limits the thresholds are; the root of a checkout.
Output   path below the root → text: the table in docs/ops_sla.md, Prometheus rules, dashboards;
         templates of CloudFormation and the page of rights (cloud_templates.py).
"""

from pathlib import Path

from mlops_bikeshare.flows import cloud_templates
from mlops_bikeshare.flows.releasing import alarms
from mlops_bikeshare.monitoring import alarm_table, dashboards, prometheus_rules
from mlops_bikeshare.settings import Settings

PAGE = "docs/ops_sla.md"
RULES = "ops/prometheus/rules.yml"
DASHBOARDS = "ops/grafana/dashboards"


def files(settings: Settings, root: Path) -> dict[str, str]:
    """Every generated file, as it should be."""
    found = alarms.load(settings)
    page = (root / PAGE).read_text(encoding="utf-8")
    return {
        PAGE: alarm_table.filled(page, found),
        RULES: prometheus_rules.rules(found.alarms),
        **{f"{DASHBOARDS}/{name}": text for name, text in dashboards.files().items()},
        **cloud_templates.files(settings, root),
    }


def write(settings: Settings, root: Path) -> None:
    """Store them."""
    for name, text in files(settings, root).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
