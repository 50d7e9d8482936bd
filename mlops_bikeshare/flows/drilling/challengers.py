"""Challengers of a drill: a bad one, one that no endpoint can load, and at last a good one.

Each becomes one `Finding`.
"""

from datetime import datetime, timedelta

from mlops_bikeshare.domain.errors import BikeshareError, EndpointError, Refused
from mlops_bikeshare.flows import deploy, gate, promote, records
from mlops_bikeshare.flows.drilling.findings import Finding, refused
from mlops_bikeshare.flows.drilling.production import Production
from mlops_bikeshare.flows.train import name_version
from mlops_bikeshare.registry import versions
from mlops_bikeshare.serving import endpoints

LEARNED = "drill: the means of former days hold the half day of false counts; nothing else drifts"


def bad_challenger(
    p: Production, start: datetime, *, version: str, fault: str = "a bad challenger"
) -> Finding:
    """A model that is no good is staged, and asks for promotion after a day."""
    p.run(start)
    reigning = endpoints.describe(p.ws.clients, p.prod).leading.version
    name_version(versions.find(p.city.registered_model, version), versions.CHALLENGER)
    deploy.deploy(p.ws, p.city, version=version)
    end = start + timedelta(hours=24)
    p.run(end)
    report = gate.gate(p.ws, p.city)
    kept_out = refused(lambda: promote.promote(p.ws, p.city), Refused)
    return Finding(
        fault=fault,
        start=start,
        end=end,
        expected="the gate fails it for its quality, promotion refuses, production is untouched",
        happened={
            "the gate fails it": report.verdict == "fail",
            "a check of quality is among the reasons": any(
                c.verdict == "fail" and _of_quality(c.name) for c in report.checks
            ),
            "promotion refuses it": kept_out,
            "production serves what it served": _serves(p, p.prod) == reigning,
        },
    )


def silent_rollback(p: Production, start: datetime, *, version: str) -> Finding:
    """A version whose files are broken is deployed; the endpoint restores the old config."""
    p.run(start)
    before = endpoints.describe(p.ws.clients, p.staging)
    failed = refused(lambda: deploy.deploy(p.ws, p.city, version=version), EndpointError)
    p.run(start + timedelta(hours=1))
    after = endpoints.describe(p.ws.clients, p.staging)
    kinds = [entry["kind"] for entry in records.audited(p.ws)]
    return Finding(
        fault="the endpoint silently rolls a deploy back",
        start=start,
        end=start,
        expected="the deploy fails and says so; the endpoint serves what it served, in service",
        happened={
            "the deploy fails": failed,
            "the endpoint has its old config": after.config == before.config,
            "and is in service": after.status == "InService",
            "the audit has a failed deploy": "deploy failed" in kinds,
        },
    )


def good_challenger(p: Production, start: datetime, *, version: str) -> Finding:
    """After the last fault: what is good reaches production within 24 clean hours."""
    p.run(start)
    deploy.deploy(p.ws, p.city, version=version)
    end = start + timedelta(hours=24)
    p.run(end)
    report = gate.gate(p.ws, p.city)
    against = {check.name for check in report.failed}
    if against == {"PSI"}:  # what was learned from the drifted day shows for weeks: its only waiver
        gate.waive(p.ws, p.city, check="PSI", reason=LEARNED, until=end + timedelta(hours=1))
        report = gate.gate(p.ws, p.city)
    moved = not refused(lambda: promote.promote(p.ws, p.city), BikeshareError)
    return Finding(
        fault="none: a good challenger",
        start=start,
        end=end,
        expected="24 clean hours after the last fault it passes the gate, PSI waived where the"
        " drifted day was learned, and is promoted",
        happened={
            "nothing but PSI is against it": against <= {"PSI"},
            "the gate passes it": report.verdict == "pass",
            "production serves it": moved and _serves(p, p.prod) == version,
        },
    )


def _serves(p: Production, endpoint: str) -> str | None:
    return endpoints.describe(p.ws.clients, endpoint).leading.version


def _of_quality(name: str) -> bool:
    return any(word in name for word in ("PR-AUC", "F1", "Skill", "persistence", "champion"))
