"""The demo's report: `report.json` for programs, `report.html` for people, a summary for both.

Input    a document as described in docs/report.md, and the workspace that it speaks of.
Output   both files, written whole or not at all; the document with `headline` and `champion` added.
Raises   what the workspace's stores raise when they do not answer.
"""

import json
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import TargetQuality
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.flows.judging import judged, sliced
from mlops_bikeshare.flows.judging.compared import Served, compared
from mlops_bikeshare.flows.pages.page import Event, Section, number, page
from mlops_bikeshare.flows.pages.pictures import Panel
from mlops_bikeshare.flows.runs import decision_runs, panels
from mlops_bikeshare.registry import artefact, versions

NAMES = ("report.json", "report.html")
CURVES = (
    "Left to right: how many of the warnings came true at each share of stockouts warned of. The"
    " first of each pair looks only at stations that were not out yet: there a model earns its"
    " keep, while persistence knows the rest from the count. The number is the area (PR-AUC)."
)
RELIABILITY = "Of the times the model said 40 %, were 40 % out? On the diagonal it kept its word."
HORIZONS = "Later stockouts are more frequent, but harder to place; persistence has the same task."
IMPORTANCE = (
    "Each tree splits on what tells most; the share of the loss that a feature's splits removed."
)
DAY = (
    "What CloudWatch (here its local twin) held of the day, against what the gate allows. Skill is"
    " the share of persistence's Brier score that the model removes, on stations not out yet, from"
    " midnight on; the first three hours, with few stockouts to judge by, are left out."
)


# What a promotion looks at and does for people.
FOLLOW_UPS = ("dashboard", "alarms", "staging")


def write(ws: Workspace, document: dict[str, Any]) -> dict[str, Any]:
    """Write both files into the workspace; the document comes back with what was added."""
    city = ws.settings.cities[document["city"]]
    tracking.connect(ws)
    window = Window.parse(document["window"], key="window")
    served = compared(ws, city, window)
    document = {**document, "headline": headline(document), "champion": _champion(served)}
    staged = next((s for s in served if s.stage == "staging"), None)
    document["dispatch"] = dict(staged.dispatch) if staged else {}
    sections = _sections(ws, city, served, window)
    story = timeline(document, records.audited(ws), versions.versions(city.registered_model))
    texts = (json.dumps(document, indent=1), page(document, story, sections))
    ws.path.mkdir(parents=True, exist_ok=True)
    for name, text in zip(NAMES, texts, strict=True):
        draft = ws.path / f".{name}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(ws.path / name)
    return document


def headline(document: dict[str, Any]) -> str:
    """What happened, in one sentence; a refusal says why."""
    gate, promotion, rollback = (document[k] for k in ("gate", "promotion", "rollback"))
    version = f"version {gate['model_version']}"
    if promotion is None:
        return _refusal(gate, version)
    text = (
        f"{version.capitalize()} passed the gate after a replayed day and replaced version"
        f" {promotion['from_version']} in production in {promotion['seconds']:.1f} s"
    )
    if rollback is not None:
        text += f"; a drill rolled it back in {rollback['seconds']:.1f} s"
    return text + "."


def summary(document: dict[str, Any]) -> str:
    """What happened and where to look, in about ten lines."""
    train, replay = document["train"], document["replay"]
    budgets = document.get("dispatch", {})
    lines = [
        headline(document),
        f"  city      {document['city']}, {document['stations']} stations",
        f"  training  the challenger learned {train['rows']:,} rows in {train['seconds']:.0f} s",
        f"  replay    {document['window']}: {replay['polls']} polls, {_batches(replay)}",
        *(_quality_line(target, q) for target, q in document["quality"].items()),
        *(f"  {t:<9} {sliced.headline(b['model'])}" for t, b in budgets.items()),
        *_gate_lines(document["gate"]),
        *(_move_line(kind, document[kind]) for kind in ("promotion", "rollback")),
        f"  took      {document['seconds_total']:.0f} s; open var/demo/report.html in a browser",
        "",
        "  make dashboard    the city map: which station runs out, and when",
        "  make mlflow-ui    the runs, the registry, the gate's evidence",
    ]
    return "\n".join(lines)


def timeline(
    document: dict[str, Any],
    audited: list[dict[str, Any]],
    registered: list[versions.ModelVersion],
) -> list[Event]:
    """Trainings, deploys, the replay and the decisions, in the order they happened."""
    story = [
        Event(when="", title=f"Version {v.version} was trained", text=_learned(v.tags))
        for v in registered
    ]
    replay, told = document["replay"], False
    for entry in audited:
        if entry["kind"] != "deploy" and not told:
            story.append(_replayed(document["window"], replay))
            told = True
        story.append(_event(entry))
    return story if told else [*story, _replayed(document["window"], replay)]


def _refusal(gate: dict[str, Any], version: str) -> str:
    against = [check for check in gate["checks"] if not check["passed"]]
    reasons = [
        f"{c['name']} is {number(c['value'])} and must be {c['relation']} {number(c['threshold'])}"
        if c["value"] is not None
        else f"{c['name']} is missing"
        for c in against[:2]
    ]
    if len(against) > len(reasons):
        reasons.append(f"{len(against) - len(reasons)} more checks stand against it")
    why = "; ".join(reasons) or "no check was made"
    if gate["verdict"] == "unknown":
        return f"The gate could not judge {version}, so production stays as it was: {why}."
    return f"The gate refused {version}, so production stays as it was: {why}."


def _learned(tags: Any) -> str:
    return f"on {tags.get('train', 'days unknown')}, calibrated on {tags.get('calibrate', '?')}"


def _replayed(window: str, replay: dict[str, Any]) -> Event:
    text = (
        f"{replay['polls']} polls ({replay['failed_polls']} without a document) and"
        f" {replay['batches']} batches ({replay['failed_batches']} failed) to both endpoints."
        f" Neither version had seen the day; quality was judged every ten minutes, drift every"
        f" hour; it took {replay['seconds']:.0f} s"
    )
    return Event(when=window, title="A day of production was replayed", text=text)


def _event(entry: dict[str, Any]) -> Event:
    facts, kind = entry["facts"], entry["kind"]
    when = entry["at"].replace("T", " ").removesuffix(":00Z").removesuffix("Z")
    if kind == "gate":
        title = f"Gate: {facts['verdict']}"
        passed = sum(check["passed"] for check in facts["checks"])
        text = f"{passed} of {len(facts['checks'])} checks passed for version"
        return Event(when=when, title=title, text=f"{text} {facts['model_version']}")
    if kind == "deploy":
        title = f"Version {facts['version']} was deployed to {facts['endpoint']}"
        return Event(when=when, title=title, text=f"{entry['why']}; {facts['endpoint_config']}")
    if kind in FOLLOW_UPS:
        return Event(when=when, title=kind.capitalize(), text=entry["why"])
    way = f"{facts.get('from_version') or 'nothing'} → {facts.get('version', '?')}"
    return Event(when=when, title=f"{kind.capitalize()}: version {way}", text=entry["why"])


def _sections(ws: Workspace, city: City, served: list[Served], window: Window) -> list[Section]:
    """The pictures, in the order of the questions they answer."""
    if not served:
        return []
    shown = panels.served_panels(served)
    curves = [p for p in shown if p.x_label == panels.AREA]
    reliability = [p for p in shown if p.diagonal]
    by_horizon = [p for p in shown if p not in curves and p not in reliability]
    day = decision_runs.day_panels(ws, city, served, window)
    return [
        Section(title="Does it warn of the right stations?", text=CURVES, panels=curves),
        Section(title="Can its probabilities be trusted?", text=RELIABILITY, panels=reliability),
        Section(title="How far ahead?", text=HORIZONS, panels=by_horizon),
        Section(
            title="What does it look at?", text=IMPORTANCE, panels=_importance(ws, city, served)
        ),
        Section(title="The day in production", text=DAY, panels=day),
    ]


def _importance(ws: Workspace, city: City, served: list[Served]) -> list[Panel]:
    """What the trees of the version on staging gained by."""
    (version,) = (s.version for s in served if s.stage == "staging")
    folder = judged.artifacts(ws, city, version)
    return panels.importance_panels({t.name: artefact.gains(folder, t.name) for t in TARGETS})


def _champion(served: list[Served]) -> dict[str, Any] | None:
    """Production's version on the rows that staging answered too."""
    for s in served:
        if s.stage == "prod":
            quality = {target: _scores(q) for target, q in s.at(PROMISE_MIN).items()}
            return {"version": s.version, "quality": quality}
    return None


def _scores(q: TargetQuality) -> dict[str, float | None]:
    return {
        "pr_auc": q.model.pr_auc,
        "brier": q.model.brier,
        "brier_skill": q.brier_skill,
        "ece": q.model.ece,
        "f1": q.model.f1,
        "onset_pr_auc": q.model.onset_pr_auc,
        "onset_brier_skill": q.onset_brier_skill,
    }


def _batches(replay: dict[str, Any]) -> str:
    failed = f"{replay['batches']} batches ({replay['failed_batches']} failed)"
    return f"{failed} through real endpoints in {replay['seconds']:.0f} s"


def _quality_line(target: str, q: dict[str, Any]) -> str:
    return (
        f"  {target:<9} {PROMISE_MIN} min ahead: onset PR-AUC {number(q['onset_pr_auc'])}"
        f" (persistence {number(q['persistence']['onset_pr_auc'])}), PR-AUC"
        f" {number(q['pr_auc'])}, Brier skill {number(q['brier_skill'])}"
    )


def _gate_lines(gate: dict[str, Any]) -> list[str]:
    passed = sum(check["passed"] for check in gate["checks"])
    lines = [f"  gate      {gate['verdict']}, {passed} of {len(gate['checks'])} checks"]
    lines += [
        f"            {c['name']}: {number(c['value'])}, needs {c['relation']}"
        f" {number(c['threshold'])}; {c['detail']}"
        for c in gate["checks"]
        if not c["passed"]
    ]
    return lines


def _move_line(kind: str, moved: dict[str, Any] | None) -> str:
    if moved is None:
        return f"  {kind:<9} none, because the gate did not pass"
    way = f"version {moved['from_version']} → {moved['to_version']}"
    return f"  {kind:<9} {moved['endpoint']}, {way} in {moved['seconds']:.1f} s"
