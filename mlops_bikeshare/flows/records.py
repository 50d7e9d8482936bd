"""What a workspace writes down about decisions: the audit, gate reports and plan journals.

`audit.jsonl` is append-only and hash-chained; its lines are rows of `monitoring_audit` too, and how
long it is stands beside the journals: a chain alone does not show that its end is missing. With
`audit.mirror` they are copied to PostgreSQL, where this machine cannot change them. A gate
report is kept whole under `gate/`; the newest one of an endpoint is what a promotion looks at. A
journal is one log of JSON lines per plan, durable line by line, so that a killed run can be
continued. All of it lies in the workspace's state: files here, objects of the lake on AWS.
"""

import dataclasses
import getpass
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.domain.reports import GateReport, to_json
from mlops_bikeshare.domain.tables import MONITORING_AUDIT
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.lake.state import Lines, LineTakenError
from mlops_bikeshare.release import audit as chain
from mlops_bikeshare.release.gate import report_from_json
from mlops_bikeshare.release.plan import Plan, plan_from_json

_log = logging.getLogger(__name__)
AUDIT = "audit.jsonl"
_JOURNAL, _GATE = "journal", "gate"
_HEAD, _PLAN = f"{_JOURNAL}/audit-head.json", ".plan.json"
_TRIES = 5


def who() -> str:
    """The person or machine account that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def facts(value: object) -> dict[str, Any]:
    """A report or result as plain JSON values."""
    document: dict[str, Any] = to_json(value)
    return document


def audit(ws: Workspace, kind: str, *, why: str, facts: Mapping[str, Any]) -> str:
    """Append one entry and return its digest; the chain so far is checked first.

    A last line torn by a kill goes; the entry keeps what was left of it. Where another process
    wrote the next line first, the entry follows that one.
    """
    for _ in range(_TRIES - 1):
        try:
            return _audit(ws, kind, why=why, facts=facts)
        except LineTakenError:
            continue
    return _audit(ws, kind, why=why, facts=facts)


def _audit(ws: Workspace, kind: str, *, why: str, facts: Mapping[str, Any]) -> str:
    head = _head(ws)  # before the lines, as below
    with ws.state.appending(AUDIT) as log:
        lines, torn = log.found.whole, log.found.torn
        previous = chain.verify(lines, head=head)
        if torn:
            facts = {**facts, "dropped_torn_line": torn.decode(errors="replace")}
        entry = chain.entry(previous, kind=kind, at=ws.now, who=who(), why=why, facts=facts)
        log.append(chain.line(entry))
        _keep_head(ws, chain.Head(len(lines) + 1, entry["digest"]))
        entries = [*(json.loads(line) for line in lines), entry]
        _mirror(ws, entries)
        _copy(ws, entries)
    return str(entry["digest"])


def audited(ws: Workspace) -> list[dict[str, Any]]:
    """Every entry, oldest first, after checking the chain; a torn last line is none yet."""
    head = _head(ws)  # before the lines: another process may write one meanwhile
    lines = _audit_lines(ws).whole
    chain.verify(lines, head=head)
    return [json.loads(line) for line in lines]


def told(ws: Workspace, digest: str) -> dict[str, Any]:
    """The entry of a digest: others may have written since."""
    return next(entry for entry in reversed(audited(ws)) if entry["digest"] == digest)


def proven(ws: Workspace) -> tuple[list[dict[str, Any]], str | None]:
    """Every entry, checked against all copies too, and what is left of a torn line.

    LakeError when there is a copy elsewhere that cannot be asked: then nothing is proven.
    """
    copies = _copies(ws)
    found = _audit_lines(ws)
    for copy in copies:
        chain.verify(found.whole, head=copy)
    return audited(ws), found.torn.decode(errors="replace") or None


def has_audit(ws: Workspace, kind: str, plan_id: str) -> bool:
    """Whether a plan has its line of this kind: a step that is done again writes no second one."""
    return any(e["kind"] == kind and e["facts"].get("plan") == plan_id for e in audited(ws))


def _mirror(ws: Workspace, entries: list[dict[str, Any]]) -> None:
    """The newest entries as rows of `monitoring_audit`, with those that a kill kept from it."""
    for number in range(len(entries), 0, -1):
        entry = entries[number - 1]
        city = str(entry["facts"].get("city") or ws.settings.default_city)
        name = f"{number:08d}_{entry['digest'][:12]}"
        frame = chain.table(entry, number=number)
        if not ws.lake.write(MONITORING_AUDIT, frame, city=city, name=name):
            return


def _copy(ws: Workspace, entries: list[dict[str, Any]]) -> None:
    """Add to the copy elsewhere, if there is one. A decision stands without it, until the next."""
    if ws.audit_copy is None:
        return
    try:
        ws.audit_copy.keep(entries)
    except BikeshareError as error:
        _log.error("the audit's copy is behind: %s", error)


def _copies(ws: Workspace) -> list[chain.Head]:
    """The newest entry that PostgreSQL has, and `monitoring_audit` of each city."""
    folders = ws.lake.store.folders(MONITORING_AUDIT.location)
    newest = ws.audit_copy.newest() if ws.audit_copy else None
    found = [chain.Head(*newest)] if newest else []
    for city in (folder.removeprefix("city=") for folder in folders):
        day = ws.lake.days(MONITORING_AUDIT, city=city)[-1]
        name = ws.lake.names(MONITORING_AUDIT, city=city, day=day)[-1]
        number, _, digest = name.partition("_")
        found.append(chain.Head(int(number), digest))
    return found


def _head(ws: Workspace) -> chain.Head | None:
    kept = ws.state.read(_HEAD)
    return chain.Head(**json.loads(kept)) if kept is not None else None


def _keep_head(ws: Workspace, head: chain.Head) -> None:
    """Write down where the audit ends; on S3 another process may have gone further meanwhile.

    Its own head may have come first, and this one over it: whoever wrote one looks again.
    """
    while True:
        ws.state.replace(_HEAD, json.dumps(dataclasses.asdict(head)).encode())
        lines = _audit_lines(ws).whole
        if len(lines) <= head.count:
            return
        head = chain.Head(len(lines), json.loads(lines[-1])["digest"])


def unused(ws: Workspace, plan: Plan) -> Plan:
    """The plan under an id that no other has: a clock may stand still between two of them."""
    known = ws.state.added(_JOURNAL, _PLAN)
    count, found = 1, plan.id
    while found + _PLAN in known:
        count += 1
        found = f"{plan.id}-{count}"
    return dataclasses.replace(plan, id=found)


def _audit_lines(ws: Workspace) -> Lines:
    """The whole lines, and what follows the last newline: a line that was never finished."""
    return ws.state.lines(AUDIT)


def keep_gate(ws: Workspace, report: GateReport, *, table: str, junit: str) -> None:
    """Store a verdict with its evidence: JSON, and beside it the table and JUnit XML."""
    name = f"{_GATE}/{report.endpoint}_{stamp(report.judged_at)}"
    ws.state.replace(f"{name}.txt", f"{table}\n".encode())
    ws.state.replace(f"{name}.xml", junit.encode())
    ws.state.replace(f"{name}.json", json.dumps(to_json(report), indent=1).encode())


def newest_gate(ws: Workspace, endpoint: str) -> GateReport | None:
    """The newest verdict on an endpoint, None if it was never judged."""
    names = [name for name in ws.state.names(_GATE) if name.endswith(".json")]
    mine = [name for name in names if name.startswith(f"{endpoint}_")]
    kept = ws.state.read(f"{_GATE}/{mine[-1]}") if mine else None
    return report_from_json(json.loads(kept)) if kept is not None else None


def keep_plan(ws: Workspace, plan: Plan) -> None:
    """Store a plan before its first step, so that it can be continued as it was made."""
    body = json.dumps(to_json(plan), indent=1).encode()
    ws.state.add(_JOURNAL, f"{plan.id}{_PLAN}", body)


def plans(ws: Workspace) -> list[Plan]:
    """Every stored plan, oldest first."""
    found = ws.state.added(_JOURNAL, _PLAN).values()
    return [plan_from_json(json.loads(body)) for body in found]


def journal(ws: Workspace, plan: Plan) -> list[dict[str, Any]]:
    """The entries of a plan, oldest first; a last line torn by a kill does not count."""
    return [json.loads(line) for line in ws.state.lines(_journal_name(plan.id)).whole]


def note(ws: Workspace, entry: Mapping[str, Any]) -> None:
    """Append an entry to its plan's journal."""
    with ws.state.appending(_journal_name(entry["plan"])) as log:
        log.append(json.dumps(to_json(entry)))


def _journal_name(plan_id: str) -> str:
    return f"{_JOURNAL}/{plan_id}.jsonl"
