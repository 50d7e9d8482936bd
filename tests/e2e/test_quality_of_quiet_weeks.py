"""How far a day's quality lies below its own level in quiet weeks: what the margin must allow.

The predictor is the share of out stations by count, fitted once: it cannot get better or worse, so
whatever its 24 h scores do is the city's doing. Logs what docs/decisions/0044 quotes.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.evaluation.scores import score
from mlops_bikeshare.settings import load

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = "2021-08-03", "2021-08-24"
LEVEL = pd.Timedelta("3D")
MOST = 60

pytestmark = [pytest.mark.recordings, pytest.mark.long]


def counts(recordings: Path, column: str) -> pd.DataFrame:
    """The newest count of each station at every ten minutes, at most a day old."""
    wanted = ["station_id", "observed_at", column]
    rows = pd.read_parquet(recordings / "boston" / "station_status.parquet", columns=wanted)
    start, end = pd.Timestamp(FIRST, tz="UTC") - LEVEL, pd.Timestamp(LAST, tz="UTC")
    rows = rows[rows["observed_at"].between(start, end)]
    at = rows["observed_at"].dt.ceil("10min")
    table = rows.assign(at=at).pivot_table(
        index="at", columns="station_id", values=column, aggfunc="last"
    )
    return table.reindex(pd.date_range(start, end, freq="10min")).ffill(limit=144)


def days(table: pd.DataFrame) -> pd.DataFrame:
    """PR-AUC and F1 of the 24 h up to every second hour."""
    now = table.to_numpy(dtype=np.float64)
    later = np.full_like(now, np.nan)
    later[:-3] = now[3:]
    y = np.where(np.isnan(later) | np.isnan(now), np.nan, later <= 2)
    count = np.clip(np.nan_to_num(now, nan=MOST), 0, MOST).astype(int)
    known = ~np.isnan(y)
    out, all_ = (np.bincount(count[known], w, MOST + 1) for w in (y[known], None))
    p = (out / np.maximum(all_, 1))[count]
    found = []
    for end in pd.date_range(FIRST, LAST, freq="2h", tz="UTC"):
        inside = (table.index >= end - pd.Timedelta("1D")) & (table.index < end)
        of_day = score(
            y[inside].ravel(),
            p[inside].ravel(),
            already_out=(now[inside] <= 2).ravel(),
            threshold=0.5,
        )
        found.append({"at": end, "pr_auc": of_day.pr_auc, "f1": of_day.f1})
    return pd.DataFrame(found).set_index("at")


def test_the_margin_allows_what_quiet_weeks_do_and_not_much_more(recordings: Path) -> None:
    of = [days(counts(recordings, f"num_{n}_available")) for n in ("bikes", "docks")]
    worse = pd.concat(of).groupby(level=0).min()

    level = worse.rolling(LEVEL).mean().shift(12)  # of the days before, not of this one
    below = (level - worse).max()
    log.info(
        "standard deviation %s, most below the level %s", worse.std().to_dict(), below.to_dict()
    )

    margin = load(ROOT, {}, {}).monitoring.champion_margin
    assert 0.04 < below["pr_auc"] < margin < 2 * below["pr_auc"]
    assert below["f1"] < margin
