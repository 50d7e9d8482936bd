"""Is a change log as hard to predict as a real city's? The same measures for every city.

Input    status: a recording's station_status (station_id, observed_at, num_bikes_available,
         num_docks_available; is_renting, is_returning and num_bikes_disabled where known).
Output   a mapping of measure to float, None where the log does not tell.
Raises   SourceError for a log of less than four days.
Method   decision times every 10 minutes over the last `days` days; the newest report of at most
         24 h is carried forward; a time is left out when the feed has been silent for 20 minutes.
         Label: at most 2 at dt + 30 min, in service. Persistence and a plain LightGBM model of
         12 features learn on the first two thirds and are judged on the last third. Profiles
         come from earlier days only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.label import USUAL
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS, Target
from mlops_bikeshare.domain.windows import CADENCE_S, DAY_S
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.evaluation.scores import score

if TYPE_CHECKING:
    import pandas as pd

Measures = Mapping[str, float | None]
Floats = NDArray[np.float64]
_STEPS_A_DAY = DAY_S // CADENCE_S
_AHEAD = PROMISE_MIN * 60 // CADENCE_S
_SILENT_S = 1200
_LEAST_DAYS = 4
_SPAN = 1 << 34
_MODEL = {
    "objective": "binary",
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "num_threads": 1,
    "max_bin": 127,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Grid:
    """Arrays (times, stations); float64 with NaN where unknown, except `age_min` and `local`."""

    times: NDArray[np.int64]
    local: NDArray[np.int64]
    columns: Mapping[str, Floats]
    age_min: Floats


def measure(
    status: "pd.DataFrame", *, timezone: str, days: int = 21, stations: int = 400
) -> dict[str, float | None]:
    """All measures of one city; of large ones, `stations` stations evenly drawn by id."""
    log = _sample(status, days=days, stations=stations)
    grid = _grid(log, timezone=timezone)
    answer = _log_measures(log)
    for target in TARGETS:
        answer.update(_target_measures(grid, target))
    return answer


def _sample(status: "pd.DataFrame", *, days: int, stations: int) -> "pd.DataFrame":
    import pandas as pd

    ids = sorted(status["station_id"].unique())
    chosen = ids[:: -(-len(ids) // stations)]
    start = status["observed_at"].max() - pd.Timedelta(days=days)
    kept = status["station_id"].isin(chosen) & (status["observed_at"] >= start)
    log: pd.DataFrame = status[kept]
    return log.sort_values(["station_id", "observed_at"], ignore_index=True)


def _log_measures(log: "pd.DataFrame") -> dict[str, float | None]:
    station = log["station_id"]
    gap_min = log.groupby(station)["observed_at"].diff().dt.total_seconds() / 60
    step = log.groupby(station)["num_bikes_available"].diff().abs()
    days = (log["observed_at"].max() - log["observed_at"].min()).total_seconds() / DAY_S
    docked = log["num_bikes_available"] + log["num_docks_available"]
    disabled = log.get("num_bikes_disabled")
    return {
        "median gap between reports, min": float(gap_min.median()),
        "90th percentile of the gap, min": float(gap_min.quantile(0.9)),
        "reports per station and day": len(log) / station.nunique() / days,
        "reports that change the bikes, share": float((step > 0).mean()),
        "reports that move 5 bikes or more, share": float((step >= 5).mean()),  # noqa: PLR2004
        "bikes per dock in service": float(
            log["num_bikes_available"][docked.notna()].sum() / docked.sum()
        ),
        "reports with disabled bikes, share": (
            None if disabled is None else float((disabled > 0).mean())
        ),
    }


def _grid(log: "pd.DataFrame", *, timezone: str) -> Grid:
    """Carry the newest report of each station forward to decision times."""
    import pandas as pd

    seconds = log["observed_at"].dt.as_unit("s").astype("int64").to_numpy()
    first, last = -(-seconds.min() // DAY_S), seconds.max() // DAY_S
    if last - first < _LEAST_DAYS:
        raise SourceError(f"need {_LEAST_DAYS} whole days to compare a city, got {last - first}")
    times = np.arange(first * DAY_S, last * DAY_S, CADENCE_S, dtype=np.int64)
    index, ids = pd.factorize(log["station_id"])
    wanted = np.arange(len(ids)) * _SPAN + times[:, None]
    found = np.searchsorted(index * _SPAN + seconds, wanted.ravel(), side="right") - 1
    found = np.maximum(found, 0).reshape(wanted.shape)
    age_s = times[:, None] - seconds[found]
    all_times = np.sort(seconds)
    newest = all_times[np.maximum(np.searchsorted(all_times, times, side="right") - 1, 0)]
    fresh = (index[found] == np.arange(len(ids))) & (age_s >= 0) & (age_s <= DAY_S)
    known = fresh & ((times - newest) < _SILENT_S)[:, None]
    names = {n for t in TARGETS for n in (t.count, t.in_service)} & set(log.columns)
    columns = {n: _spread(log[n], found, known) for n in sorted(names)}
    zone = pd.DatetimeIndex(times.astype("M8[s]")).tz_localize("UTC").tz_convert(timezone)
    local = zone.tz_localize(None).as_unit("s").astype("int64").to_numpy()
    return Grid(times=times, local=local, columns=columns, age_min=age_s / 60)


def _spread(column: "pd.Series[Any]", found: NDArray[np.intp], known: NDArray[np.bool_]) -> Floats:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)[found]
    return np.where(known, values, np.nan)


def _target_measures(grid: Grid, target: Target) -> dict[str, float | None]:
    """Rates and scores of one target on the last third of the days."""
    count = grid.columns[target.count]
    label = _label(grid, target)
    cut = len(grid.times) // _STEPS_A_DAY * 2 // 3 * _STEPS_A_DAY
    train = np.arange(0, cut - 2 * _AHEAD, 2)
    test = np.arange(cut, len(grid.times))
    counts = np.nan_to_num(count, nan=-1).astype(np.int64)
    fitted = Persistence.fit(counts[train].ravel(), {PROMISE_MIN: label[train].ravel()})
    baseline = fitted.predict(counts[test].ravel(), horizon_min=PROMISE_MIN)
    y = np.where(np.isnan(count), np.nan, label)
    features = _features(grid)
    model = _plain_model(features[train], y[train], features[test])
    rows = ~np.isnan(y[test].ravel())
    truth, out_now = y[test].ravel()[rows], USUAL.out(count[test].ravel())[rows]
    p0 = score(truth, baseline[rows], already_out=out_now, threshold=None)
    p1 = score(truth, model[rows], already_out=out_now, threshold=None)
    return {
        f"{target.name}: base rate": p0.base_rate,
        f"{target.name}: onset base rate": p0.onset_base_rate,
        f"{target.name}: persistence PR-AUC": p0.pr_auc,
        f"{target.name}: persistence onset PR-AUC": p0.onset_pr_auc,
        f"{target.name}: plain model PR-AUC": p1.pr_auc,
        f"{target.name}: plain model onset PR-AUC": p1.onset_pr_auc,
        f"{target.name}: onset lift over persistence": _minus(p1.onset_pr_auc, p0.onset_pr_auc),
    }


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _label(grid: Grid, target: Target) -> Floats:
    """1 out, 0 not out at dt + 30 min; NaN where unknown or out of service."""
    later = _shift(grid.columns[target.count], -_AHEAD)
    label = np.where(np.isnan(later), np.nan, USUAL.out(later))
    service = grid.columns.get(target.in_service)
    if service is None:
        return label
    return np.where((service == 1) & (_shift(service, -_AHEAD) == 1), label, np.nan)


def _shift(values: Floats, steps: int) -> Floats:
    """Values of `steps` decision times ago (ahead if negative); NaN beyond the ends."""
    moved = np.full_like(values, np.nan)
    if steps > 0:
        moved[steps:] = values[:-steps]
    else:
        moved[:steps] = values[-steps:]
    return moved


def _features(grid: Grid) -> NDArray[np.float32]:
    """(times, stations, 12): counts, their recent changes, age, calendar and past-only profiles."""
    bikes, docks = (grid.columns[t.count] for t in TARGETS)
    shape = bikes.shape
    weekday = (grid.local // DAY_S + 3) % 7
    share = bikes / np.where(bikes + docks > 0, bikes + docks, np.nan)
    change = _shift(bikes, -_AHEAD) - bikes
    calendar = [grid.local % DAY_S / 3600, weekday]
    parts = [
        bikes,
        docks,
        share,
        *(bikes - _shift(bikes, steps) for steps in (1, 3, 6, 12)),
        grid.age_min,
        *(np.broadcast_to(c[:, None], shape) for c in calendar),
        _profile(change, weekend=weekday >= 5),  # noqa: PLR2004
        _profile(share, weekend=weekday >= 5),  # noqa: PLR2004
    ]
    return np.stack(parts, axis=-1, dtype=np.float32, casting="same_kind")


def _profile(values: Floats, *, weekend: NDArray[np.bool_]) -> Floats:
    """Mean at the same time of day, an hour wide, over earlier days of the same kind."""
    days = values.shape[0] // _STEPS_A_DAY
    kind = weekend.reshape(days, _STEPS_A_DAY)[:, _STEPS_A_DAY // 2]
    cube = values.reshape(days, _STEPS_A_DAY, -1)
    answer = np.full_like(cube, np.nan)
    for is_weekend in (False, True):
        chosen = np.flatnonzero(kind == is_weekend)
        if len(chosen):
            answer[chosen] = _past_mean(cube[chosen])
    return answer.reshape(values.shape)


def _past_mean(cube: Floats) -> Floats:
    """Mean over earlier days, within half an hour either side."""
    known = ~np.isnan(cube)
    parts = (np.where(known, cube, 0.0), known.astype(np.float64))
    sums, rows = (_widen(_sum_before(part)) for part in parts)
    return np.where(rows > 0, sums / np.where(rows > 0, rows, 1), np.nan)


def _sum_before(cube: Floats) -> Floats:
    """Sums over the days before each day; the day itself never enters, not even by rounding."""
    total = np.zeros_like(cube)
    total[1:] = np.cumsum(cube[:-1], axis=0)
    return total


def _widen(cube: Floats) -> Floats:
    """Sums over half an hour either side, within the day: past midnight would look ahead."""
    total = np.cumsum(np.pad(cube, ((0, 0), (_AHEAD + 1, _AHEAD), (0, 0))), axis=1)
    answer: Floats = total[:, 2 * _AHEAD + 1 :] - total[:, : -2 * _AHEAD - 1]
    return answer


def _plain_model(x: NDArray[np.float32], y: Floats, wanted: NDArray[np.float32]) -> Floats:
    """Probabilities of a small LightGBM model for each row of `wanted`, flattened."""
    import lightgbm as lgb

    rows = ~np.isnan(y.ravel())
    columns = x.shape[-1]
    data = lgb.Dataset(x.reshape(-1, columns)[rows], label=y.ravel()[rows])
    booster = lgb.train(_MODEL, data, num_boost_round=120)
    answer: Floats = np.asarray(booster.predict(wanted.reshape(-1, columns)))
    return answer
