"""The scorer's stacked answer, against booster.predict on a DataFrame per target and horizon."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.registry.artefact import read_scorer
from mlops_bikeshare.registry.scorer import Scorer, boosters_of
from mlops_bikeshare.training.candidate import HORIZON_FEATURE
from tests.bench.bed import Bed
from tests.bench.measure import Row, compare

FASTER = 3.0
STATIONS = 2400


def stacked(bed: Bed) -> Iterator[Row]:
    import lightgbm as lgb

    rows = bed.ws.lake.read(OFFLINE, city=bed.city.name, window=bed.split.calibrate)
    at_noon = rows[rows["dt"].dt.hour == 16].head(STATIONS)
    frame = at_noon[list(FEATURE_NAMES)].reset_index(drop=True)
    scorer = Scorer.load(str(bed.artifacts))
    spec = read_scorer(bed.artifacts)
    boosters = [
        (lgb.Booster(model_file=str(bed.artifacts / name)), served)
        for target in spec["targets"].values()
        for name, served in boosters_of(target, HORIZONS_MIN).items()
    ]

    def apart() -> list[NDArray[np.float64]]:
        inputs = {h: frame.assign(**{HORIZON_FEATURE: np.float32(h)}) for h in HORIZONS_MIN}
        return [b.predict(inputs[h], num_threads=1) for b, served in boosters for h in served]

    ours, peer = compare(lambda: scorer.predict(frame), apart, repeats=2 if bed.quick else 5)
    trees = "+".join(str(booster.num_trees()) for booster, _ in boosters)
    yield Row(
        name="scoring.stacked",
        ours=ours.cpu_s,
        peer=peer.cpu_s,
        unit="CPU s",
        goal=FASTER,
        against=f"booster.predict per horizon, {len(frame) * len(HORIZONS_MIN):,} rows x 2 targets,"
        f" {trees} trees, one thread",
    )
