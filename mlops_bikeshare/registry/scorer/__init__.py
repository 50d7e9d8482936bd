"""The arithmetic of a registered model; travels inside it and needs nothing of this project.

Input    a DataFrame with exactly the model's features as columns, in any order: float32, NaN where
         unknown. Everything particular (targets, horizons, calibrators) is read from scorer.json,
         the trees from LightGBM's text beside it: per target the boosters, each with the horizons
         that it serves, or (format 1) one for all of them.
Output   a DataFrame, one row per input row in the same order: float64 calibrated probabilities
         `<p_target>_<horizon>` for every target and horizon.
Raises   ValueError naming columns that are missing, not expected or not numbers, and for an
         artefact that does not fit together or holds trees of a kind not known here.
Source   beta calibration: Kull, Silva Filho, Flach (2017); the trees: see `forest`.

Needs numpy and pandas only. The package is copied into a version as it is, so its modules know each
other by relative names.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .forest import Forest, Grown
from .trees import Floats, read_trees

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (1, 2)
_EDGE = float(np.log(1e15))


@dataclass(frozen=True, slots=True)
class _Head:
    """One target: its name in the answer, and a calibrator (a, b, c) for each horizon."""

    column: str
    calibrators: Floats

    def probabilities(self, raw: Floats) -> Floats:
        """Calibrated, shape (rows, horizons), from log-odds of that shape."""
        odds = np.clip(raw, -_EDGE, _EDGE)
        a, b, c = self.calibrators.T
        logit = b * np.logaddexp(0, odds) - a * np.logaddexp(0, -odds) + c
        answer: Floats = 0.5 * (1 + np.tanh(logit / 2))
        return answer


@dataclass(frozen=True, slots=True)
class Scorer:
    """Answers every target at every horizon for rows of features."""

    features: tuple[str, ...]
    horizons_min: tuple[int, ...]
    heads: tuple[_Head, ...]
    forest: Forest

    @classmethod
    def load(cls, directory: str) -> "Scorer":
        """Read scorer.json and the trees beside it."""
        folder = Path(directory)
        spec = json.loads((folder / "scorer.json").read_text(encoding="utf-8"))
        if spec.get("format") not in FORMATS:
            msg = f"scorer.json in {folder.name} has format {spec.get('format')}, expected one of"
            raise ValueError(f"{msg} {FORMATS}")
        features, horizons = tuple(spec["features"]), tuple(spec["horizons_min"])
        inputs, targets = [*features, spec["horizon_feature"]], list(spec["targets"].values())
        heads = tuple(_Head(t["column"], _calibrators(t["calibrators"], horizons)) for t in targets)
        grown = [_grown(folder, target, inputs, horizons) for target in targets]
        return cls(features, horizons, heads, Forest.plant(grown, len(features), horizons))

    @property
    def columns(self) -> list[str]:
        """Of the answer, in order."""
        return [f"{head.column}_{horizon}" for head in self.heads for horizon in self.horizons_min]

    def predict(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Calibrated probabilities of every target at every horizon."""
        import pandas as pd

        answer = self.probabilities(self._matrix(frame))
        return pd.DataFrame(answer, columns=self.columns, index=frame.index)

    def probabilities(self, matrix: NDArray[np.float32]) -> Floats:
        """The same of a matrix: `features` in their order in, `columns` in theirs out."""
        # the trees' thresholds lie between float32 values: more digits are not what they learned
        raw = self.forest.log_odds(matrix.astype(np.float64))
        return np.hstack([head.probabilities(raw[i]) for i, head in enumerate(self.heads)])

    def _matrix(self, frame: "pd.DataFrame") -> NDArray[np.float32]:
        names, known = list(frame.columns), set(self.features)
        if len(names) != len(known) or known != set(names):
            missing = [name for name in self.features if name not in names]
            extra = [str(name) for name in names if name not in known]
            msg = (
                f"expected the {len(known)} features of this model, each once: missing"
                f" {missing or 'none'}, not expected {extra or 'none'}, got {len(names)}"
            )
            raise ValueError(msg)
        if wrong := [name for name, dtype in frame.dtypes.items() if dtype.kind not in "fiub"]:
            msg = f"features must be numbers (float32, NaN where unknown), but {wrong} are not"
            raise ValueError(msg)
        ours = frame if names == list(self.features) else frame[list(self.features)]
        return ours.to_numpy(dtype=np.float32)


def boosters_of(target: Mapping[str, Any], horizons_min: Sequence[int]) -> dict[str, list[int]]:
    """Which file holds the trees of which horizons, of one target of a scorer.json."""
    if "booster" in target:
        return {target["booster"]: list(horizons_min)}
    return {each["file"]: each["horizons_min"] for each in target["boosters"]}


def _grown(
    folder: Path, target: Mapping[str, Any], inputs: list[str], horizons: tuple[int, ...]
) -> list[Grown]:
    """The trees of a target; each horizon has those of one booster."""
    files = boosters_of(target, horizons)
    found = sorted(h for served in files.values() for h in served)
    if found != sorted(horizons):
        msg = f"scorer.json has trees for horizons {found}, but answers {sorted(horizons)}"
        raise ValueError(msg)
    return [(served, read_trees(folder / name, inputs)) for name, served in files.items()]


def _calibrators(groups: list[Mapping[str, Any]], horizons: tuple[int, ...]) -> Floats:
    """Rows of a, b, c in the order of `horizons`; each horizon belongs to one group."""
    found = {h: (g["a"], g["b"], g["c"]) for g in groups for h in g["horizons_min"]}
    if sorted(found) != sorted(horizons):
        msg = f"scorer.json calibrates horizons {sorted(found)}, but answers {sorted(horizons)}"
        raise ValueError(msg)
    return np.array([found[h] for h in horizons], dtype=np.float64)
