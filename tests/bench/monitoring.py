"""What monitoring costs every ten minutes (quality) and every hour (drift)."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlops_bikeshare.domain.label import USUAL
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window, to_seconds
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.features.grid import Grid
from mlops_bikeshare.flows import alarms
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.monitoring import drift, quality
from mlops_bikeshare.monitoring.quality import Yardstick
from mlops_bikeshare.registry import artefact
from tests import watched
from tests.bench.bed import END, Bed
from tests.bench.measure import Row, compare

if TYPE_CHECKING:
    import pandas as pd

STATIONS, LARGE = 414, 2400
DECISIONS = 144
QUALITY_S = 2.0
PSI_MS = 100.0
ALARMS_MS = 50.0
WINDOW = Window.before(END)


def quality_of_a_day(bed: Bed) -> Iterator[Row]:
    frame = _predictions()
    yardsticks = {t.name: _yardstick(frame, t.name) for t in TARGETS}
    judge = partial(
        quality.judge,
        frame,
        yardsticks,
        endpoint="bikeshare-prod",
        city="boston",
        model_version="1",
        window=WINDOW,
    )
    ours, peer = compare(judge, lambda: _sklearn(frame, yardsticks), repeats=3 if bed.quick else 9)
    yield Row(
        name="monitoring.quality_day",
        ours=ours.cpu_s * 1000,
        peer=peer.cpu_s * 1000,
        unit="CPU ms",
        against=f"scikit-learn's scores of the same {len(frame):,} rows x 2 targets",
    )


def quality_of_a_large_day(bed: Bed) -> Iterator[Row]:
    """Labels joined and both endpoints judged, as a window of 2,400 stations is."""
    frame = _predictions(stations=LARGE)
    grid = _grid(LARGE)
    said = frame.assign(station_id=np.tile(np.array(grid.stations), len(frame) // LARGE))
    yardsticks = {t.name: _yardstick(frame, t.name) for t in TARGETS}

    def both() -> None:
        for endpoint in ("bikeshare-staging", "bikeshare-prod"):
            quality.judge(
                judged.labelled(said, grid),
                yardsticks,
                endpoint=endpoint,
                city="boston",
                model_version="1",
                window=WINDOW,
            )

    (cost,) = compare(both, repeats=1 if bed.quick else 3)
    yield Row(
        name="monitoring.quality_day_2400",
        ours=cost.cpu_s,
        peer=QUALITY_S,
        unit="CPU s",
        against=f"limit, {LARGE:,} stations x {DECISIONS} decision times x 2 endpoints",
    )


def _grid(stations: int) -> Grid:
    """A seeded day of truth, and the hour that its labels reach into."""
    rng = np.random.default_rng(2)
    shape = (DECISIONS * 2 + 12, stations)
    bikes = rng.integers(0, 20, shape).astype(np.int16)
    yes = np.ones(shape, dtype=np.bool_)
    return Grid(
        stations=tuple(f"{i:05}" for i in range(stations)),
        start_s=to_seconds(WINDOW.start),
        bikes=bikes,
        docks=(20 - bikes).astype(np.int16),
        renting=yes,
        returning=yes,
        last_reported=np.zeros(shape, dtype=np.int64),
        observed=yes,
    )


def psi(bed: Bed) -> Iterator[Row]:
    reference = artefact.read_reference(bed.artifacts)
    names = [*reference["psi"], *reference["range"]]
    spans = {"psi_hour": 1, "psi_day": 24}
    for name, hours in spans.items():
        window = Window.before(END, hours=hours)
        rows = bed.ws.lake.read(OFFLINE, city=bed.city.name, window=window, columns=names)
        judge = partial(
            drift.judge,
            drift.Seen(features=rows, decision_times=6 * hours, predictions={}, predicted_times=0),
            reference,
            endpoint="bikeshare-prod",
            city=bed.city.name,
            model_version="1",
            window=window,
            rules=drift.DriftRules(),
        )
        (cost,) = compare(judge, repeats=3 if bed.quick else 9)
        yield Row(
            name=f"monitoring.{name}",
            ours=cost.wall_s * 1000,
            peer=PSI_MS,
            unit="ms",
            against=f"limit, {len(rows):,} rows x {len(names)} features",
        )


def _predictions(stations: int = STATIONS) -> "pd.DataFrame":
    """A seeded day of predictions, as good as a fair model's."""
    import pandas as pd

    rng = np.random.default_rng(1)
    times = pd.DatetimeIndex(list(WINDOW.steps())).as_unit("ms")
    frame = pd.DataFrame({"dt": np.repeat(times, stations), "horizon_min": PROMISE_MIN})
    for target in TARGETS:
        count = rng.integers(0, 20, len(frame))
        p = np.clip(0.9 - count * 0.1 + rng.normal(0, 0.2, len(frame)), 0.02, 0.98)
        frame[f"count_{target.name}"], frame[f"p_{target.name}"] = count, p
        frame[f"label_{target.name}"] = (rng.random(len(frame)) < p).astype(np.float64)
    return frame


def _yardstick(frame: "pd.DataFrame", target: str) -> Yardstick:
    labels = {PROMISE_MIN: frame[f"label_{target}"].to_numpy()}
    persistence = Persistence.fit(frame[f"count_{target}"].to_numpy(), labels)
    return Yardstick(persistence=persistence, threshold=0.5)


def _sklearn(frame: "pd.DataFrame", yardsticks: dict[str, Yardstick]) -> list[float]:
    """The scores of model and persistence, all rows and onset rows, as scikit-learn has them."""
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss

    found = []
    for target, yardstick in yardsticks.items():
        y, count = frame[f"label_{target}"].to_numpy(), frame[f"count_{target}"].to_numpy()
        onset = ~USUAL.out(count)
        baseline = yardstick.persistence.predict(count, horizon_min=PROMISE_MIN)
        for p in (frame[f"p_{target}"].to_numpy(), baseline):
            for rows in (slice(None), onset):
                found += [average_precision_score(y[rows], p[rows])]
                found += [brier_score_loss(y[rows], p[rows])]
            found += [log_loss(y, p), calibration_curve(y, p, n_bins=10)[0][0]]
        found += [f1_score(y, frame[f"p_{target}"] >= 0.5)]
    return found


def alarms_tick(bed: Bed) -> Iterator[Row]:
    """Every alarm of both endpoints over a day of metrics; the host is asked and is not there."""
    ws, city = watched.a_day(bed.home)
    (cost,) = compare(lambda: alarms.tick(ws, city, at=ws.now), repeats=3 if bed.quick else 15)
    seen = alarms.tick(ws, city, at=ws.now).alarms
    yield Row(
        name="monitoring.alarms_tick",
        ours=cost.cpu_s * 1000,
        peer=ALARMS_MS,
        unit="CPU ms",
        against=f"limit, {len(seen)} alarms over a day of metrics, states kept, nobody to tell",
    )
