"""What decisions leave in MLflow: the gate's run, a promotion's, and how the versions served.

Input    a verdict or an executed plan; evidence is read from the workspace.
Output   a run with its evidence. A verdict also writes how each version did over the judged window
         into that version's training run: `replay/<score>_<target>` (`live/` on a real clock) with
         the horizon as step, on rows that all of them answered, so that they compare. MLflow's
         charts make a section of what stands before the slash.
Raises   what MLflow raises when its store does not answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import GateReport, to_json
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.flows.judging.compared import Served, compared
from mlops_bikeshare.flows.pages.pictures import Panel, png
from mlops_bikeshare.flows.runs import panels, training_run
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release.plan import Plan


def log_gate(ws: Workspace, city: City, report: GateReport, *, text: str) -> None:
    """A run for the verdict, and the window's quality in the runs of the versions judged."""
    window = report.window
    served = compared(ws, city, window)
    day = _drawn(day_panels(ws, city, served, window), name="day", window=window)
    quality = _drawn(panels.served_panels(served), name="quality", window=window)
    name = f"gate {report.verdict} · v{report.model_version} · {report.window.end:%m-%d %H:%M}"
    tags = {"kind": "gate", "verdict": report.verdict, "model_version": report.model_version}
    with tracking.run(ws, city, name, tags, note=_gate_note(report)) as active:
        import mlflow

        mlflow.log_dict(to_json(report), "gate.json")
        mlflow.log_text(text, "gate.txt")
        mlflow.log_metrics(
            {
                f"gate/{c.name}": float(c.value)
                for c in report.checks
                if isinstance(c.value, float | int)
            }
        )
        tracking.log_pictures(active.info.run_id, {**day, **quality})
    _log_served(ws, city, served, quality)
    versions.set_tags(city.registered_model, report.model_version, {"gate": report.verdict})


def log_move(ws: Workspace, city: City, plan: Plan, facts: Mapping[str, Any], *, why: str) -> None:
    """A run for a promotion or a rollback: what moved, the plan, its journal, the verdict."""
    name = f"{plan.kind} {_way(facts)}"
    tags = {"kind": plan.kind, "model_version": facts["version"], "endpoint": facts["endpoint"]}
    with tracking.run(ws, city, name, tags, note=_move_note(plan, facts, why)):
        import mlflow

        shown = ("from_version", "version", "digest", "from_config", "endpoint_config")
        mlflow.log_params({key: facts.get(key) or "none" for key in shown})
        mlflow.log_dict(dict(facts), f"{plan.kind}.json")
        mlflow.log_dict({"plan": to_json(plan), "journal": records.journal(ws, plan)}, "plan.json")
        verdict = records.newest_gate(ws, ws.settings.endpoint("staging", city.name))
        if plan.kind == "promotion" and verdict is not None:
            mlflow.log_dict(to_json(verdict), "gate.json")


def day_panels(ws: Workspace, city: City, served: Sequence[Served], window: Window) -> list[Panel]:
    """The window's metrics: skill by time, latency by hour, drift by feature."""
    if not served:
        return []
    rules = ws.settings.gate
    endpoints = {s.stage: s.report.endpoint for s in served}
    found = panels.skill_panels(ws, city, served, window, limit=rules.onset_brier_skill)
    found.append(panels.latency_panel(ws, endpoints, window, limit_ms=rules.latency_p95_ms))
    found.append(panels.psi_panel(ws, city, served[0], window, limit=rules.psi))
    return [panel for panel in found if panel.lines or panel.bars]


def _log_served(
    ws: Workspace, city: City, served: Sequence[Served], drawn: Mapping[str, bytes]
) -> None:
    """How each version did, into its training run and its tags."""
    kind = "replay" if ws.clock.kind == "simulated" else "live"
    for s in served:
        version = versions.find(city.registered_model, s.version)
        tags = training_run.tags(s.report.targets, prefix=f"{kind}_")
        versions.set_tags(version.name, version.version, tags)
        tracking.log_steps(version.run_id, training_run.steps(s.report.targets, prefix=f"{kind}/"))
        pictures = {f"{kind}_{name}": picture for name, picture in drawn.items()}
        tracking.log_pictures(version.run_id, pictures)


def _drawn(panels_: Sequence[Panel], *, name: str, window: Window) -> dict[str, bytes]:
    return {name: png(*panels_, title=str(window))} if panels_ else {}


def _gate_note(report: GateReport) -> str:
    against = "".join(f" {c.name}: {c.detail or 'missing'}." for c in report.failed)
    held = f"{len(report.checks) - len(report.failed)} of {len(report.checks)} checks passed"
    return (
        f"Whether version {report.model_version}, as {report.endpoint} served it over"
        f" {report.window}, may go to production: {report.verdict}; {held}.{against} `gate.txt` is"
        f" the table, `gate.json` the evidence, `pictures/` the day."
    )


def _move_note(plan: Plan, facts: Mapping[str, Any], why: str) -> str:
    kind = "Promotion" if plan.kind == "promotion" else "Rollback"
    return (
        f"{kind} of {facts['endpoint']}, {_way(facts)}, because: {why}. `plan.json` holds the steps"
        f" with their journal, `{plan.kind}.json` what is in production since."
    )


def _way(facts: Mapping[str, Any]) -> str:
    start = f"v{facts['from_version']}" if facts.get("from_version") else "nothing"
    return f"{start} → v{facts['version']}"
