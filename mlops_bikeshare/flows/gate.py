"""Gate: collect what the metric store, the endpoint and the lake say, judge it, keep the verdict.

Input    an endpoint (default: the city's staging), judged as of the workspace's clock; the hours to
         look back (fewer than the settings ask for never pass).
Output   GateReport, stored under `gate/` as JSON, table and JUnit XML, and logged as an MLflow run
         with its evidence.
Raises   EndpointError when the endpoint does not exist; ModelError when its version is unknown;
         Refused for a waiver that the catalogue does not allow.
"""

import logging
from datetime import datetime

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.domain.reports import GateReport
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.flows.judging import gate_evidence
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.releasing import tagged
from mlops_bikeshare.flows.runs import decision_runs
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release import gate as release
from mlops_bikeshare.release import verdict, waivers
from mlops_bikeshare.release.evidence import GateEvidence
from mlops_bikeshare.release.waivers import Waiver
from mlops_bikeshare.serving import endpoints

log = logging.getLogger(__name__)


def _told(report: GateReport) -> Told:
    read = {"endpoint": report.endpoint, "version": report.model_version}
    against = ", ".join(check.name for check in report.failed) or None
    wrote = {"verdict": report.verdict, "against": against}
    return Told(read={**read, "window": str(report.window)}, wrote=wrote)


def gate(
    ws: Workspace,
    city: City,
    *,
    endpoint: str | None = None,
    hours: int | None = None,
    initial: bool = False,
) -> GateReport:
    """Judge an endpoint; the verdict is kept whatever it is, with its evidence as an MLflow run.

    Refused: `initial`, which leaves out the champion, where there is one.
    """
    report = judge(ws, city, endpoint=endpoint, hours=hours, initial=initial)
    log_run(ws, city, report)
    return report


@logged("gate", _told)
def judge(
    ws: Workspace,
    city: City,
    *,
    endpoint: str | None = None,
    hours: int | None = None,
    initial: bool = False,
) -> GateReport:
    """The verdict alone, kept and on record: pictures of the day take longer than to judge it."""
    if initial:
        _check_no_champion(ws, city)
    name = endpoint or ws.settings.endpoint("staging", city.name)
    told, torn = records.proven(ws)
    if torn:
        log.warning("the audit's last line was torn by a kill: %s", torn)
    known = waivers.waivers_in(told)
    seen = evidence(ws, city, name, hours=hours)
    report = release.judge(seen, ws.settings.gate, initial=initial, waivers=known)
    records.keep_gate(ws, report, table=summary(report), junit=verdict.junit(report))
    why = f"verdict {report.verdict}"
    entry = records.told(ws, records.audit(ws, "gate", why=why, facts=records.facts(report)))
    facts = ("verdict", "window", "artefact_digest")
    tagged.tag(city, report.model_version, entry, word="gate", facts=facts)
    return report


def log_run(ws: Workspace, city: City, report: GateReport) -> None:
    """The verdict with its evidence as an MLflow run."""
    decision_runs.log_gate(ws, city, report, text=summary(report))


def _check_no_champion(ws: Workspace, city: City) -> None:
    tracking.connect(ws)
    champion = versions.find_if_any(city.registered_model, versions.CHAMPION)
    if champion is not None:
        msg = f"--initial leaves out the champion, but version {champion.version} is {city.name}'s"
        raise Refused(f"{msg}; leave --initial out")


def evidence(ws: Workspace, city: City, endpoint: str, *, hours: int | None = None) -> GateEvidence:
    """Everything the verdict on an endpoint rests on, as of now."""
    looked = hours or ws.settings.gate.window_h
    return gate_evidence.evidence(ws, city, endpoint, hours=looked)


def waive(
    ws: Workspace,
    city: City,
    *,
    check: str,
    reason: str,
    until: datetime,
    endpoint: str | None = None,
) -> Waiver:
    """Put on record that a check of the version on an endpoint is forgiven."""
    tracking.connect(ws)
    name = endpoint or ws.settings.endpoint("staging", city.name)
    state = endpoints.describe(ws.clients, name)
    version = versions.find(city.registered_model, state.variants[0].version or "")
    waiver = waivers.grant(
        Waiver(
            check=check,
            endpoint=name,
            artefact_digest=version.digest,
            reason=reason,
            author=records.who(),
            granted_at=ws.now,
            expires_at=until,
        ),
        ws.settings.gate,
    )
    entry = records.told(ws, records.audit(ws, waivers.KIND, why=reason, facts=waiver.facts()))
    facts = ("check", "expires_at")
    tagged.tag(city, version.version, entry, word=waivers.KIND, facts=facts)
    return waiver


def summary(report: GateReport, *, explained: bool = False) -> str:
    """The verdict as a table for people, and on request what would flip it."""
    parts = [verdict.table(report), *([verdict.explanation(report)] if explained else [])]
    return "\n\n".join(parts)


def junit(report: GateReport) -> str:
    """The verdict for machines."""
    return verdict.junit(report)
