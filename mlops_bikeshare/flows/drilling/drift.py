"""Faults of counts: a feed that says half the bikes that there are, and one that says none.

Each is done to production, then looked at, and becomes one `Finding`.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.contract import to_arrow, to_frame
from mlops_bikeshare.domain.tables import STATION_STATUS_RAW
from mlops_bikeshare.flows import retrain
from mlops_bikeshare.flows.drilling.findings import Finding, minutes_from, within
from mlops_bikeshare.flows.drilling.production import Production
from mlops_bikeshare.flows.judging import drift_windows

if TYPE_CHECKING:
    import pyarrow as pa

# Features that are means of earlier days begin so.
LEARNED = "usual_"


def halved(p: Production, start: datetime, *, hours: int = 12) -> Finding:
    """The feed says half the bikes that there are, everywhere."""
    p.run(start)
    end = start + timedelta(hours=hours)
    p.feed.distortion = _half
    p.run(end)
    p.feed.distortion = None
    # What looks back for a day holds the last of it as long.
    clean = end + timedelta(hours=26)
    asked = retrain.retrain(p.ws, p.city, check=True).choice
    p.run(clean)
    alarm = f"{p.prod}-psi-critical"
    fired = p.fired(alarm, start)
    rest = _worst_but_learned(p, clean)
    return Finding(
        fault="the feed says half the bikes that there are",
        start=start,
        end=end,
        expected="PSI is critical within 12 h; a day after, what was not learned from it is as"
        " before; retraining says what it sees",
        happened={
            "critical PSI is an alarm before the drift ends": within(fired, start, 60 * hours),
            "a day after no feature drifts but those that remember": rest is not None
            and rest < p.ws.settings.monitoring.psi_critical,
            "the retraining's reasons name the drift": any("Drift" in r for r in asked.reasons),
        },
        detected_min=minutes_from(start, fired),
        restored_min=minutes_from(end, p.quiet(alarm, start)),
    )


def emptied(p: Production, start: datetime, *, hours: int = 10) -> Finding:
    """The feed says that every station is empty."""
    p.run(start)
    end = start + timedelta(hours=hours)
    p.feed.distortion = _none
    p.run(end)
    p.feed.distortion = None
    p.run(end + timedelta(hours=2))  # an hour is judged when it is over, and looked at in the next
    warn, critical = p.seen("drift-share-warn", start), p.seen("drift-share-critical", start)
    psi = p.seen("psi-critical", start)
    return Finding(
        fault="the feed says that every station is empty",
        start=start,
        end=end,
        expected="one feature, then half, then most of them drift: an alarm each, within 12 h",
        happened={
            "a feature's drift is critical within 8 h": within(psi.fired, start, 60 * 8),
            "half of the features are an alarm within 10 h": within(warn.fired, start, 60 * 10),
            "most of them are critical within 12 h": within(critical.fired, start, 60 * 12),
        },
        detected_min=minutes_from(start, psi.fired),
    )


def _half(rows: "pa.Table") -> "pa.Table":
    return _left(rows, of_two=1)


def _none(rows: "pa.Table") -> "pa.Table":
    return _left(rows, of_two=0)


def _left(rows: "pa.Table", *, of_two: int) -> "pa.Table":
    """So many of two bikes; what is gone is docks."""
    frame = to_frame(rows)
    bikes = of_two * frame["num_bikes_available"] // 2
    docks = frame["num_docks_available"] + frame["num_bikes_available"] - bikes
    counts = frame.assign(num_bikes_available=bikes, num_docks_available=docks)
    return to_arrow(STATION_STATUS_RAW, counts)


def _worst_but_learned(p: Production, at: datetime) -> float | None:
    """The largest PSI of a feature that holds no mean of former days; None without a report.

    Half a day of false counts doubles the mean rate of a rare stockout, and no later day undoes it.
    """
    report = drift_windows.newest_report(p.ws, p.prod, at)
    found = report["psi"] if report else {}
    return max((v for name, v in found.items() if not name.startswith(LEARNED)), default=None)
