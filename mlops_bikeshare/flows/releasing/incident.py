"""The incident folder of a rollback: what was seen, decided and answered before it.

Input    a plan that took a version out of production.
Output   `incidents/<plan>/` in the workspace: incident.json (plan, journal, why, triggers),
         gate.json (the verdict it had come in on), timeline.json (the audit of the window),
         metrics.png, metrics.json, predictions.parquet (what production answered). It appears
         whole or not at all; one that is there already is left alone.
"""

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import records
from mlops_bikeshare.flows.pages.pictures import Line, Panel, Role, png
from mlops_bikeshare.monitoring.metrics import ENDPOINT, MODEL, metric
from mlops_bikeshare.release.plan import Plan

SHOWN = (
    "ModelLatency",
    "Invocations",
    "Invocation5XXErrors",
    "BatchSuccessRate",
    "PR-AUC-24h",
    "F1-24h",
    "PSI",
)
STEP_S = 600
_LAST = "incident.json"  # once it is there, all of them are
_ROLES: tuple[Role, ...] = ("champion", "challenger", "persistence", "limit")


def write(ws: Workspace, city: City, plan: Plan) -> None:
    """Make the folder, once; with profile aws it lies in the lake's bucket."""
    folder = ws.path / "incidents" / plan.id
    kept = f"incidents/{plan.id}"
    if folder.is_dir() or _LAST in ws.state.names(kept):
        return
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _fill(ws, city, plan, draft)
    if ws.settings.profile == "local":
        draft.rename(folder)
        return
    for path in sorted(draft.iterdir(), key=lambda path: path.name == _LAST):
        ws.state.replace(f"{kept}/{path.name}", path.read_bytes())
    shutil.rmtree(draft)


def _fill(ws: Workspace, city: City, plan: Plan, draft: Path) -> None:
    since = Window(ws.now - timedelta(hours=24), ws.now + timedelta(seconds=1))
    window = since.widened(step_s=STEP_S)
    _decisions(ws, city, plan, window, draft)
    _metrics(ws, plan.target["endpoint"], window, draft)
    said = ws.lake.read(
        INFERENCE, city=city.name, window=window, name_prefix=f"{plan.target['endpoint']}_"
    )
    said.to_parquet(draft / "predictions.parquet", compression="zstd", index=False)


def _decisions(ws: Workspace, city: City, plan: Plan, window: Window, folder: Path) -> None:
    told = records.audited(ws)
    document = {
        "at": ws.now,
        "why": plan.target["why"],
        "trigger": plan.target.get("trigger", []),
        "plan": plan,
        "journal": records.journal(ws, plan),
    }
    verdict = records.newest_gate(ws, ws.settings.endpoint("staging", city.name))
    timeline = [e for e in told if datetime.fromisoformat(e["at"]) >= window.start]
    for name, value in (
        ("incident", document),
        ("gate", verdict),
        ("timeline", timeline),
    ):
        _dump(folder / f"{name}.json", value)


def _metrics(ws: Workspace, endpoint: str, window: Window, folder: Path) -> None:
    found = {name: _series(ws, name, endpoint, window) for name in SHOWN}
    found = {name: series for name, series in found.items() if series}
    _dump(folder / "metrics.json", found)
    if found:
        panels = [_panel(name, series) for name, series in found.items()]
        (folder / "metrics.png").write_bytes(png(*panels, title=f"{endpoint} {window}"))


def _series(
    ws: Workspace, name: str, endpoint: str, window: Window
) -> dict[str, list[tuple[datetime, float]]]:
    """Label → the metric's values; a series for each variant that ever answered in the window."""
    entry = metric(name)
    every = [of for n, of in ws.metrics.names(entry.namespace) if n == name]
    mine = [of for of in every if of.get("EndpointName") == endpoint]
    if entry.namespace == MODEL:  # the plain series; details by version and target have more keys
        mine = [of for of in mine if set(of) == set(entry.dimensions)]
    found = {
        of.get("VariantName", endpoint) if entry.namespace == ENDPOINT else endpoint: (
            ws.metrics.series(
                entry.namespace,
                name,
                of,
                window=window,
                statistic=entry.statistic,
                period_s=STEP_S,
            )
        )
        for of in mine
    }
    return {label: values for label, values in found.items() if values}


def _panel(name: str, series: dict[str, list[tuple[datetime, float]]]) -> Panel:
    scale, unit = (1000, "ms") if name == "ModelLatency" else (1, "")
    return Panel(
        title=name,
        x_label="UTC",
        y_label=unit,
        lines=[
            Line(label=label, role=role, x=[at for at, _ in v], y=[y / scale for _, y in v])
            for role, (label, v) in zip(_ROLES, sorted(series.items()), strict=False)
        ],
    )


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(to_json(value), indent=1), encoding="utf-8")
