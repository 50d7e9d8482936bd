"""The arithmetic of a registered model; travels inside it and needs nothing of this project.

Input    a DataFrame with exactly the model's features as columns, in any order: float32, NaN where
         unknown. Everything particular (targets, horizons, calibrators) is read from scorer.json.
Output   a DataFrame, one row per input row in the same order: float64 calibrated probabilities
         `<p_target>_<horizon>` for every target and horizon.
Raises   ValueError naming columns that are missing, not expected or not numbers, and for an
         artefact that does not fit together.
Source   beta calibration: Kull, Silva Filho, Flach (2017).

Needs numpy, pandas and lightgbm only, imported where they are used. Rows that differ only in the
horizon are scored next to each other: they walk the same branches, so the processor guesses right.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
CHUNK_ROWS = 2048
_EDGE = 1e-15

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Head:
    """One target: its trees, and a calibrator (a, b, c) for each horizon."""

    column: str
    booster: Any
    calibrators: Floats

    def probabilities(self, matrix: NDArray[np.float32]) -> Floats:
        """Calibrated, shape (rows, horizons); `matrix` holds the horizons of a row in sequence."""
        raw = self.booster.predict(matrix, num_threads=1).reshape(-1, len(self.calibrators))
        p = np.clip(raw, _EDGE, 1 - _EDGE)
        a, b, c = self.calibrators.T
        answer: Floats = 0.5 * (1 + np.tanh((a * np.log(p) - b * np.log1p(-p) + c) / 2))
        return answer


@dataclass(frozen=True, slots=True)
class Scorer:
    """Answers every target at every horizon for rows of features."""

    features: tuple[str, ...]
    horizons_min: tuple[int, ...]
    heads: tuple[_Head, ...]

    @classmethod
    def load(cls, directory: str) -> "Scorer":
        """Read scorer.json and the trees beside it."""
        folder = Path(directory)
        spec = json.loads((folder / "scorer.json").read_text(encoding="utf-8"))
        if spec.get("format") != FORMAT:
            msg = f"scorer.json in {folder.name} has format {spec.get('format')}, expected {FORMAT}"
            raise ValueError(msg)
        features, horizons = tuple(spec["features"]), tuple(spec["horizons_min"])
        inputs = [*features, spec["horizon_feature"]]
        heads = tuple(
            _Head(
                target["column"],
                _booster(folder / target["booster"], inputs),
                _calibrators(target["calibrators"], horizons),
            )
            for target in spec["targets"].values()
        )
        return cls(features, horizons, heads)

    @property
    def columns(self) -> list[str]:
        """Columns of the answer, in order."""
        return [f"{head.column}_{horizon}" for head in self.heads for horizon in self.horizons_min]

    def predict(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Calibrated probabilities of every target at every horizon."""
        import pandas as pd

        rows = self._matrix(frame)
        answer = np.empty((len(rows), len(self.columns)))
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            stacked = self._stacked(rows[chunk])
            answer[chunk] = np.hstack([head.probabilities(stacked) for head in self.heads])
        return pd.DataFrame(answer, columns=self.columns, index=frame.index)

    def _matrix(self, frame: "pd.DataFrame") -> NDArray[np.float32]:
        missing = [name for name in self.features if name not in frame.columns]
        known = set(self.features)
        extra = [str(name) for name in frame.columns if name not in known]
        if missing or extra or len(frame.columns) != len(known):
            msg = (
                f"expected the {len(known)} features of this model, each once: missing"
                f" {missing or 'none'}, not expected {extra or 'none'}, got {len(frame.columns)}"
            )
            raise ValueError(msg)
        wrong = [str(n) for n, dtype in frame.dtypes.items() if dtype.kind not in "fiub"]
        if wrong:
            msg = f"features must be numbers (float32, NaN where unknown), but {wrong} are not"
            raise ValueError(msg)
        matrix: NDArray[np.float32] = frame[list(self.features)].to_numpy(dtype=np.float32)
        return matrix

    def _stacked(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Each row once per horizon, (rows × horizons, features + 1), horizon last."""
        stacked = np.empty((len(rows), len(self.horizons_min), rows.shape[1] + 1), np.float32)
        stacked[:, :, :-1] = rows[:, None, :]
        stacked[:, :, -1] = self.horizons_min
        return stacked.reshape(-1, stacked.shape[2])


def _booster(path: Path, inputs: list[str]) -> Any:
    import lightgbm as lgb

    booster = lgb.Booster(model_str=path.read_text(encoding="utf-8"))
    if booster.feature_name() != inputs:
        msg = f"{path.name} was grown on {booster.feature_name()}, but scorer.json says {inputs}"
        raise ValueError(msg)
    return booster


def _calibrators(groups: list[Mapping[str, Any]], horizons: tuple[int, ...]) -> Floats:
    """Rows of a, b, c in the order of `horizons`; each horizon belongs to one group."""
    found = {h: (g["a"], g["b"], g["c"]) for g in groups for h in g["horizons_min"]}
    if sorted(found) != sorted(horizons):
        msg = f"scorer.json calibrates horizons {sorted(found)}, but answers {sorted(horizons)}"
        raise ValueError(msg)
    return np.array([found[h] for h in horizons], dtype=np.float64)
