"""Monitor: quality of matured labels every ten minutes, drift every hour, for every endpoint.

Every judgement becomes rows of a table and points of the metric store; both are written once per
(endpoint, version, window), however often this runs. What an outage of the monitor left undone is
made up for, oldest first (quality_windows.py, drift_windows.py). The plain `-24h` metrics speak of
a full window: until nine tenths of its decision times were predicted, only the table is written.
What the newest batches promise before their labels are in is posted beside it (estimates.py).
Then the alarms are looked at, and whoever has not been told of them is told (alarms.py).
"""

from dataclasses import dataclass
from datetime import datetime

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import DriftReport, QualityReport, TargetQuality
from mlops_bikeshare.domain.windows import floor_time
from mlops_bikeshare.domain.wording import figure
from mlops_bikeshare.flows import alarms
from mlops_bikeshare.flows.judging import drift_windows, estimates, quality_windows
from mlops_bikeshare.flows.process.logged import Told, logged


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """What was judged at one time.

    `quality` is of the window that ends `at`; `caught_up` and `revised` count others: windows that
    an outage had left out, and windows whose labels came late. `unseen` says why nobody could look
    at the alarms.
    """

    at: datetime
    quality: tuple[QualityReport, ...]
    drift: tuple[DriftReport, ...]
    caught_up: int = 0
    revised: int = 0
    unseen: str | None = None


def _told(seen: Monitored) -> Told:
    judged_ = {"quality_reports": len(seen.quality), "drift_reports": len(seen.drift)}
    others = {"caught_up": seen.caught_up, "revised": seen.revised}
    return Told(read={"up_to": f"{seen.at:%F %H:%M}"}, wrote={**judged_, **others})


@logged("monitor", _told)
def monitor(
    ws: Workspace,
    city: City,
    *,
    at: datetime,
    hours: int = 24,
    since: datetime | None = None,
    page: bool = False,
    drift: bool = True,
) -> Monitored:
    """Judge every endpoint of the city over the `hours` before `at`, and what is owed from before.

    `since`: look for late labels in all windows that ended since then. `page`: draw the drift page
    of the newest full hour, which otherwise is drawn once a day. Without `drift` that is left to a
    job of its own.
    """
    end = floor_time(at)
    drifts: list[DriftReport] = []
    try:
        found = quality_windows.judge_owed(ws, city, end=end, hours=hours, since=since)
        estimates.post(ws, city, end=end)
        if drift:
            drifts = drift_windows.judge_owed(ws, city, end=end, hours=hours, page=page)
    finally:  # when judging fails, alarms are needed most
        looked = alarms.tick(ws, city, at=end)
    return Monitored(
        at=end,
        quality=tuple(quality_windows.of_end(found, end)),
        drift=tuple(drifts),
        caught_up=sum(r.revision == 1 and r.window.end != end for r in found),
        revised=sum(r.revision > 1 for r in found),
        unseen=looked.unseen,
    )


def drift_only(ws: Workspace, city: City, *, at: datetime, hours: int = 24) -> Monitored:
    """The drift of every endpoint alone, and what is owed of it from before."""
    end = floor_time(at)
    drifts = drift_windows.judge_owed(ws, city, end=end, hours=hours, page=False)
    return Monitored(at=end, quality=(), drift=tuple(drifts))


def summary(seen: Monitored) -> str:
    """What a person wants to know."""
    lines = [f"{seen.at:%F %H:%M} UTC"]
    for report in seen.quality:
        name = f"{report.endpoint} v{report.model_version}"
        lines += [f"{name} {_quality_text(q)}" for q in report.targets]
        if report.feed_down:
            lines.append(f"{name}: the feed was down for {report.feed_down} decision times")
        if report.handled:
            lines.append(f"{name}: {report.handled} rows not judged, their stations were handled")
    lines += [_drift_text(r) for r in seen.drift]
    if seen.caught_up or seen.revised:
        lines.append(f"{seen.caught_up} missed windows made up, {seen.revised} judged again")
    lines += [] if len(lines) > 1 else ["nothing new to judge"]
    lines += [f"ALARMS CANNOT BE LOOKED AT: {seen.unseen}"] if seen.unseen else []
    return "\n".join(lines)


def exit_code(seen: Monitored) -> int:
    """0 done, 3 when nobody could look at the alarms."""
    return 3 if seen.unseen else 0


def _quality_text(q: TargetQuality) -> str:
    return (
        f"{q.target}: {q.model.rows:,} rows, PR-AUC {figure(q.model.pr_auc)},"
        f" onset {figure(q.model.onset_pr_auc)}, onset Brier skill {figure(q.onset_brier_skill)}"
    )


def _drift_text(report: DriftReport) -> str:
    why = f" ({report.why})" if report.why else ""
    psi = f"PSI {figure(report.psi_max)} over {report.rows:,} rows"
    return f"{report.endpoint} {report.window.end:%H:%M}: drift {report.level}{why}, {psi}"
