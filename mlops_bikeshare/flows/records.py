"""What a workspace writes down about decisions: the audit, gate reports and plan journals.

`audit.jsonl` is append-only and hash-chained; its lines are rows of `monitoring_audit` too, and how
long it is stands beside the journals: a chain alone does not show that its end is missing. With
`audit.mirror` they are copied to PostgreSQL, where this machine cannot change them. A gate
report is kept whole under `gate/`; the newest one of an endpoint is what a promotion looks at. A
journal is one file of JSON lines per plan, flushed to disk line by line, so that a killed run can
be continued.
"""

import dataclasses
import fcntl
import getpass
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.domain.reports import GateReport, to_json
from mlops_bikeshare.domain.tables import MONITORING_AUDIT
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.release import audit as chain
from mlops_bikeshare.release.gate import report_from_json
from mlops_bikeshare.release.plan import Plan, plan_from_json

log = logging.getLogger(__name__)


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

    A last line torn by a kill goes; the entry keeps what was left of it.
    """
    path = ws.path / "audit.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines, torn = _audit_lines(path)
        previous = chain.verify(lines, head=_head(ws))
        if torn:
            file.truncate(path.stat().st_size - len(torn))
            facts = {**facts, "dropped_torn_line": torn.decode(errors="replace")}
        entry = chain.entry(previous, kind=kind, at=ws.now, who=who(), why=why, facts=facts)
        _append(file, chain.line(entry))
        _keep_head(ws, chain.Head(len(lines) + 1, entry["digest"]))
        entries = [*(json.loads(line) for line in lines), entry]
        _mirror(ws, entries)
        _copy(ws, entries)
    return str(entry["digest"])


def audited(ws: Workspace) -> list[dict[str, Any]]:
    """Every entry, oldest first, after checking the chain; a torn last line is none yet."""
    head = _head(ws)  # before the lines: another process may write one meanwhile
    lines, _ = _audit_lines(ws.path / "audit.jsonl")
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
    lines, torn = _audit_lines(ws.path / "audit.jsonl")
    for copy in copies:
        chain.verify(lines, head=copy)
    return audited(ws), torn.decode(errors="replace") or None


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
        log.error("the audit's copy is behind: %s", error)


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
    path = _head_path(ws)
    return chain.Head(**json.loads(path.read_text("utf-8"))) if path.is_file() else None


def _keep_head(ws: Workspace, head: chain.Head) -> None:
    path = _head_path(ws)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(dataclasses.asdict(head)), encoding="utf-8")
    draft.replace(path)


def _head_path(ws: Workspace) -> Path:
    return ws.path / "journal" / "audit-head.json"


def unused(ws: Workspace, plan: Plan) -> Plan:
    """The plan under an id that no other has: a clock may stand still between two of them."""
    count, found = 1, plan.id
    while _journal_path(ws, found).with_suffix(".plan.json").exists():
        count += 1
        found = f"{plan.id}-{count}"
    return dataclasses.replace(plan, id=found)


def _audit_lines(path: Path) -> tuple[list[str], bytes]:
    """The whole lines, and what follows the last newline: a line that was never finished."""
    if not path.is_file():
        return [], b""
    *whole, torn = path.read_bytes().split(b"\n")
    return [line.decode(errors="replace") for line in whole], torn


def keep_gate(ws: Workspace, report: GateReport, *, table: str, junit: str) -> Path:
    """Store a verdict with its evidence: JSON, and beside it the table and JUnit XML."""
    path = ws.path / "gate" / f"{report.endpoint}_{stamp(report.judged_at)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".txt").write_text(table + "\n", encoding="utf-8")
    path.with_suffix(".xml").write_text(junit, encoding="utf-8")
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(to_json(report), indent=1), encoding="utf-8")
    draft.replace(path)
    return path


def newest_gate(ws: Workspace, endpoint: str) -> GateReport | None:
    """The newest verdict on an endpoint, None if it was never judged."""
    found = sorted((ws.path / "gate").glob(f"{endpoint}_*.json"))
    return report_from_json(json.loads(found[-1].read_text(encoding="utf-8"))) if found else None


def keep_plan(ws: Workspace, plan: Plan) -> None:
    """Store a plan before its first step, so that it can be continued as it was made."""
    path = _journal_path(ws, plan.id).with_suffix(".plan.json")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(to_json(plan), indent=1), encoding="utf-8")
        draft.replace(path)


def plans(ws: Workspace) -> list[Plan]:
    """Every stored plan, oldest first."""
    found = (ws.path / "journal").glob("*.plan.json")
    ordered = sorted(found, key=lambda path: path.stat().st_mtime_ns)
    return [plan_from_json(json.loads(path.read_text(encoding="utf-8"))) for path in ordered]


def journal(ws: Workspace, plan: Plan) -> list[dict[str, Any]]:
    """The entries of a plan, oldest first; a last line torn by a kill does not count."""
    path = _journal_path(ws, plan.id)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def note(ws: Workspace, entry: Mapping[str, Any]) -> None:
    """Append an entry to its plan's journal."""
    path = _journal_path(ws, entry["plan"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        file.seek(0)
        text = file.read()
        # A line torn by a kill was never acted upon: it goes, the next one starts clean.
        file.truncate(len(text[: text.rfind("\n") + 1].encode()))
        _append(file, json.dumps(to_json(entry)))


def _journal_path(ws: Workspace, plan_id: str) -> Path:
    return ws.path / "journal" / f"{plan_id}.jsonl"


def _append(file: IO[str], line: str) -> None:
    file.write(line + "\n")
    file.flush()
    os.fsync(file.fileno())
