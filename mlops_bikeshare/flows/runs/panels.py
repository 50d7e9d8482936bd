"""Which pictures there are: curves, scores by horizon, a day's metrics, what a model learned.

Input    curves and reports of evaluation, or what the workspace's metric store and lake hold.
Output   `Panel`s for pictures.py; a panel with nothing to show is left out, never drawn empty.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import TargetQuality
from mlops_bikeshare.domain.tables import MONITORING_DRIFT
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.curves import Curve, TargetCurves
from mlops_bikeshare.flows.judging.compared import Served
from mlops_bikeshare.flows.pages.pictures import Line, Panel, Role
from mlops_bikeshare.monitoring.metrics import ENDPOINT, MODEL, Statistic, is_percentile

Curves = list[tuple[str, Role, Curve | None]]

ROLES: Mapping[str, Role] = {"staging": "challenger", "prod": "champion"}
TOP = 25
WARM_UP = timedelta(hours=3)
AREA = "recall (stockouts warned of)"
_HIT = "precision (warnings that came true)"


def curve_panels(curves: Mapping[str, TargetCurves]) -> list[Panel]:
    """A model against persistence: precision-recall, the same on onset rows, reliability."""
    found = []
    for target, c in curves.items():
        plain: Curves = [
            ("model", "challenger", c.model),
            ("persistence", "persistence", c.persistence),
        ]
        onset: Curves = [
            ("model", "challenger", c.onset_model),
            ("persistence", "persistence", c.onset_persistence),
        ]
        found += [
            pr_panel(target, plain),
            pr_panel(target, onset, onset=True),
            reliability_panel(target, plain),
        ]
    return [panel for panel in found if panel.lines]


def served_panels(served: Sequence[Served]) -> list[Panel]:
    """What two endpoints said of the same rows, with the first one's persistence, per target."""
    found: list[Panel] = []
    for target in (t.name for t in TARGETS if served):
        plain: Curves = []
        onset: Curves = []
        for s in served:
            name, role = f"v{s.version} on {s.stage}", ROLES[s.stage]
            plain.append((name, role, s.curves[target].model))
            onset.append((name, role, s.curves[target].onset_model))
        first = served[0].curves[target]
        plain.append(("persistence", "persistence", first.persistence))
        onset.append(("persistence", "persistence", first.onset_persistence))
        found += [
            pr_panel(target, onset, onset=True),
            pr_panel(target, plain),
            reliability_panel(target, plain),
            horizon_panel(target, served),
        ]
    return [panel for panel in found if panel.lines]


def pr_panel(target: str, curves: Curves, *, onset: bool = False) -> Panel:
    """Precision over recall; the number in the legend is the area."""
    which = "stations not out yet (onset)" if onset else "all stations"
    return Panel(
        title=f"{target} in {PROMISE_MIN} min: {which}",
        x_label=AREA,
        y_label=_HIT,
        lines=[
            Line(label=f"{name}: {c.pr_auc:.3f}", role=role, x=c.recall, y=c.precision)
            for name, role, c in curves
            if c is not None
        ],
        unit_square=True,
    )


def reliability_panel(target: str, curves: Curves) -> Panel:
    """What was said against what happened; on the diagonal a probability keeps its word."""
    return Panel(
        title=f"{target} in {PROMISE_MIN} min: reliability",
        x_label="probability given",
        y_label="share that was out",
        lines=[
            Line(label=name, role=role, x=c.mean_p, y=c.share_out)
            for name, role, c in curves
            if c is not None
        ],
        unit_square=True,
        diagonal=True,
    )


def horizon_panel(target: str, served: Sequence[Served]) -> Panel:
    """Onset PR-AUC from 10 to 120 minutes ahead."""
    area = attrgetter("model.onset_pr_auc")
    lines = [
        _by_horizon(f"v{s.version} on {s.stage}", ROLES[s.stage], s.report.targets, target, area)
        for s in served
    ]
    reference = attrgetter("persistence.onset_pr_auc")
    first = served[0].report.targets
    lines.append(_by_horizon("persistence", "persistence", first, target, reference))
    return Panel(
        title=f"{target}: onset PR-AUC by horizon",
        x_label="minutes ahead",
        y_label="onset PR-AUC",
        lines=[line for line in lines if len(line.x)],
        least=0,
    )


def loss_panels(losses: Mapping[str, Sequence[float]]) -> list[Panel]:
    """Log loss on the early-stopping rows, tree by tree."""
    return [
        Panel(
            title=f"{target}: early stopping",
            x_label="trees",
            y_label="log loss",
            lines=[Line(label=target, role="challenger", x=range(1, len(loss) + 1), y=loss)],
        )
        for target, loss in losses.items()
        if loss
    ]


def importance_panels(gains: Mapping[str, Mapping[str, float]]) -> list[Panel]:
    """The features that the trees gained most by."""
    return [
        Panel(
            title=f"{target}: what the trees look at",
            x_label="share of the total gain",
            bars=_largest(gain),
        )
        for target, gain in gains.items()
        if sum(gain.values()) > 0
    ]


def contribution_panels(parts: Mapping[str, Mapping[str, float]]) -> list[Panel]:
    """How much each feature moves the answer, on average."""
    return [
        Panel(
            title=f"{target}: what moves the answer",
            x_label="mean |SHAP value|, log-odds before calibration",
            bars=[(name, value) for name, value in list(means.items())[:TOP] if value > 0],
        )
        for target, means in parts.items()
        if any(means.values())
    ]


def skill_panels(
    ws: Workspace, city: City, served: Sequence[Served], window: Window, *, limit: float
) -> list[Panel]:
    """Onset Brier skill over the window so far, as it was posted every ten minutes."""
    found = []
    for target in (t.name for t in TARGETS):
        lines = []
        for s in served:
            of = {
                "EndpointName": s.report.endpoint,
                "City": city.name,
                "ModelVersion": s.version,
                "Target": target,
            }
            series = _series(ws, MODEL, "Onset-Brier-Skill-24h", of, window, step_s=600)
            # The first hours are a handful of onsets: their skill is noise, and hides the rest.
            late = [(at, v) for at, v in series if at - window.start >= WARM_UP]
            lines.append(_line(f"v{s.version} on {s.stage}", ROLES[s.stage], late))
        found.append(
            Panel(
                title=f"{target}: skill over the day",
                x_label="UTC",
                y_label="onset Brier skill so far",
                lines=[line for line in lines if len(line.x)],
                limit=(f"gate: at least {limit:g}", limit),
            )
        )
    return [panel for panel in found if panel.lines]


def latency_panel(
    ws: Workspace, endpoints: Mapping[str, str], window: Window, *, limit_ms: float
) -> Panel:
    """p95 of ModelLatency by hour, the slowest variant's; `endpoints` maps stage to name."""
    lines = []
    for stage, name in endpoints.items():
        in_ms = _slowest_ms(ws, name, window)
        lines.append(_line(f"{stage}, p95 of the hour", ROLES[stage], in_ms))
    return Panel(
        title="Latency by hour",
        x_label="UTC",
        y_label="time in the model, ms",
        lines=[line for line in lines if len(line.x)],
        limit=(f"gate: at most {limit_ms:g} ms", limit_ms),
        least=0,
    )


def _slowest_ms(ws: Workspace, endpoint: str, window: Window) -> list[tuple[datetime, float]]:
    """The hours' p95 of the variants there are or, before a move in the window, were."""
    worst: dict[datetime, float] = {}
    for name, of in ws.metrics.names(ENDPOINT):
        if name == "ModelLatency" and of.get("EndpointName") == endpoint:
            series = _series(ws, ENDPOINT, name, of, window, step_s=3600, statistic="p95")
            for at, us in series:
                worst[at] = max(us / 1000, worst.get(at, 0.0))
    return sorted(worst.items())


def psi_panel(ws: Workspace, city: City, served: Served, window: Window, *, limit: float) -> Panel:
    """The features that moved furthest from training, as of the window's last judgement."""
    rows = ws.lake.read(MONITORING_DRIFT, city=city.name)
    rows = rows[
        (rows["endpoint"] == served.report.endpoint)
        & (rows["model_version"] == served.version)
        & (rows["kind"] == "psi")
        & (rows["window_end"] <= window.end)
    ]
    newest = rows[rows["window_end"] == rows["window_end"].max()]
    worst = newest.nlargest(12, "value")
    return Panel(
        title="Drift: features furthest from training",
        x_label="PSI of the last 24 h",
        bars=list(zip(worst["feature"], worst["value"].astype(float), strict=True)),
        limit=(f"gate: below {limit:g}", limit),
    )


def _by_horizon(
    label: str,
    role: Role,
    targets: Iterable[TargetQuality],
    target: str,
    value: "attrgetter[float | None]",
) -> Line:
    known = [(q.horizon_min, value(q)) for q in targets if q.target == target]
    points = [(h, v) for h, v in known if v is not None]
    return Line(label=label, role=role, x=[h for h, _ in points], y=[v for _, v in points])


def _largest(gain: Mapping[str, float]) -> list[tuple[str, float]]:
    total = sum(gain.values())
    ordered = sorted(gain.items(), key=lambda item: -item[1])
    return [(name, value / total) for name, value in ordered[:TOP] if value > 0]


def _series(
    ws: Workspace,
    namespace: str,
    name: str,
    of: Mapping[str, str],
    window: Window,
    *,
    step_s: int,
    statistic: Statistic = "Average",
) -> list[tuple[datetime, float]]:
    whole = window.widened(step_s=step_s) if is_percentile(statistic) else window
    return ws.metrics.series(
        namespace, name, of, window=whole, statistic=statistic, period_s=step_s
    )


def _line(label: str, role: Role, points: Sequence[tuple[datetime, float]]) -> Line:
    return Line(label=label, role=role, x=[at for at, _ in points], y=[v for _, v in points])
