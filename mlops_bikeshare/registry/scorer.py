"""The arithmetic of a registered model; travels inside it and needs nothing of this project.

Input    a DataFrame with exactly the model's features as columns, in any order: float32, NaN where
         unknown. Everything particular (targets, horizons, calibrators) is read from scorer.json,
         the trees from LightGBM's text beside it.
Output   a DataFrame, one row per input row in the same order: float64 calibrated probabilities
         `<p_target>_<horizon>` for every target and horizon.
Raises   ValueError naming columns that are missing, not expected or not numbers, and for an
         artefact that does not fit together or holds trees of a kind not known here.
Source   QuickScorer: Lucchese et al. (2015), with a table per feature in place of its sorted
         comparisons; beta calibration: Kull, Silva Filho, Flach (2017).

Needs numpy and pandas only. A tree is a bit per leaf: each split takes away the leaves it makes
unreachable; the one left answers. What a feature's value leaves of all trees is one row of a table,
and the horizon, a feature too, is applied last: a row is walked once for its twelve horizons. Leaf
values are rounded to 2^-40: their sums are exact in any order, so rows do not touch each other.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
CHUNK_ROWS = 256  # the masks of so many rows stay in a processor's cache
_WORD = 64
_FINE = 40
_EDGE = float(np.log(1e15))

Floats = NDArray[np.float64]
Masks = NDArray[np.uint64]
_FIRST: Masks = np.array([(1 << bits) - 1 for bits in range(_WORD + 1)], dtype=np.uint64)
_ALL = _FIRST[_WORD]


@dataclass(frozen=True, slots=True)
class _Tree:
    """At most 64 leaves in order from left to right, and what each split takes away from them."""

    values: Floats
    feature: NDArray[np.intp]
    threshold: Floats
    at_most: Masks
    above: Masks
    missing: Masks


@dataclass(frozen=True, slots=True)
class _Table:
    """What a feature's value leaves of every tree: a row per interval, the last if it is missing.

    Interval i holds the values above i of the thresholds, at most the next.
    """

    feature: int
    thresholds: Floats
    masks: Masks

    @classmethod
    def of(cls, feature: int, trees: Sequence[_Tree]) -> "_Table":
        """The table of one feature over all trees."""
        mine = [tree.feature == feature for tree in trees]
        number = np.repeat(np.arange(len(trees)), list(map(np.count_nonzero, mine)))

        def all_of(name: str) -> Any:
            return np.concatenate([getattr(t, name)[m] for t, m in zip(trees, mine, strict=True)])

        thresholds, at = np.unique(all_of("threshold"), return_inverse=True)
        upward = np.full((len(thresholds) + 2, len(trees)), _ALL)
        downward = upward.copy()
        np.bitwise_and.at(upward, (at + 1, number), all_of("above"))
        np.bitwise_and.at(downward, (at, number), all_of("at_most"))
        masks: Masks = np.bitwise_and.accumulate(upward)
        masks &= np.bitwise_and.accumulate(downward[::-1])[::-1]
        masks[-1] = _ALL
        np.bitwise_and.at(masks[-1], number, all_of("missing"))
        return cls(feature, thresholds, masks)

    def rows(self, values: Floats) -> NDArray[np.intp]:
        """The row of the table for each value."""
        rows = np.searchsorted(self.thresholds, values)
        return np.where(np.isnan(values), len(self.masks) - 1, rows)


@dataclass(frozen=True, slots=True)
class _Forest:
    """The trees of every target; `tree` and `mask` list each tree once per answer to the horizon.

    A tree that does not ask for the horizon is there once, others as often as their splits tell
    horizons apart. `targets` says where a target's begin and end and which horizons each serves.
    """

    tables: tuple[_Table, ...]
    tree: NDArray[np.intp]
    mask: Masks
    values: Floats
    targets: tuple[tuple[slice, Floats], ...]

    @classmethod
    def plant(
        cls, targets: Sequence[Sequence[_Tree]], horizon: int, horizons_min: Sequence[int]
    ) -> "_Forest":
        """The forest of these trees; `horizon` is the number of the horizon's feature."""
        trees = [tree for target in targets for tree in target]
        tables = tuple(_Table.of(feature, trees) for feature in range(horizon))
        last = _Table.of(horizon, trees)
        left = last.masks[last.rows(np.array(horizons_min, dtype=np.float64))]
        answers = [np.unique(masks, return_inverse=True) for masks in left.T]
        of_tree = np.repeat(np.arange(len(trees)), [len(masks) for masks, _ in answers])
        serves = [np.eye(len(masks))[which].T for masks, which in answers]
        # where each target's answers begin, and where the last one's end
        edges = np.searchsorted(of_tree, np.cumsum([0, *map(len, targets)]))
        whole = np.concatenate(serves)
        values = np.concatenate([tree.values for tree in trees])
        return cls(
            tuple(table for table in tables if len(table.thresholds)),
            of_tree,
            np.concatenate([masks for masks, _ in answers]),
            np.ldexp(np.round(np.ldexp(values, _FINE)), -_FINE),
            tuple((slice(a, b), whole[a:b]) for a, b in pairwise(edges)),
        )

    def log_odds(self, matrix: Floats) -> Floats:
        """Sums of leaf values, shape (targets, rows, horizons)."""
        answer = np.empty((len(self.targets), len(matrix), self.targets[0][1].shape[1]))
        rows = [table.rows(matrix[:, table.feature]) for table in self.tables]
        for start in range(0, len(matrix), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            values = self._values([each[chunk] for each in rows], len(matrix[chunk]))
            for target, (part, serves) in enumerate(self.targets):
                answer[target, chunk] = values[:, part] @ serves
        return answer

    def _values(self, rows: Sequence[NDArray[np.intp]], count: int) -> Floats:
        """The value of the leaf each row ends in, for every tree and answer to the horizon."""
        left = np.full((count, len(self.values) // _WORD), _ALL)
        taken = np.empty_like(left)
        for table, at in zip(self.tables, rows, strict=True):
            # every index is in bounds; saying so spares a copy
            np.take(table.masks, at, axis=0, out=taken, mode="clip")
            np.bitwise_and(left, taken, out=left)
        ends = left[:, self.tree] & self.mask
        ends &= np.negative(ends)  # the lowest bit alone
        answer: Floats = self.values[np.bitwise_count(ends - np.uint64(1)) + self.tree * _WORD]
        return answer


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
    forest: _Forest

    @classmethod
    def load(cls, directory: str) -> "Scorer":
        """Read scorer.json and the trees beside it."""
        folder = Path(directory)
        spec = json.loads((folder / "scorer.json").read_text(encoding="utf-8"))
        if spec.get("format") != FORMAT:
            msg = f"scorer.json in {folder.name} has format {spec.get('format')}, expected {FORMAT}"
            raise ValueError(msg)
        features, horizons = tuple(spec["features"]), tuple(spec["horizons_min"])
        inputs, targets = [*features, spec["horizon_feature"]], list(spec["targets"].values())
        heads = tuple(_Head(t["column"], _calibrators(t["calibrators"], horizons)) for t in targets)
        trees = [_trees(folder / target["booster"], inputs) for target in targets]
        return cls(features, horizons, heads, _Forest.plant(trees, len(features), horizons))

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


def _trees(path: Path, inputs: list[str]) -> list[_Tree]:
    """The trees of a booster's text; ValueError when they are not what we can walk."""
    text = path.read_text(encoding="utf-8")
    head, *blocks = re.split(r"^Tree=\d+$", text.partition("end of trees")[0], flags=re.MULTILINE)
    said = _fields(head)
    grown = said.get("feature_names", "").split(" ")
    if grown != inputs:
        msg = f"{path.name} was grown on {grown}, but scorer.json says {inputs}"
        raise ValueError(msg)
    objective = re.fullmatch(r"binary sigmoid:(\S+)", said.get("objective", ""))
    fields = [_fields(block) for block in blocks]
    if objective is None or not fields or "average_output" in head:
        msg = f"{path.name} holds no trees of a binary classifier, only {said.get('objective')}"
        raise ValueError(msg)
    steep = float(objective[1])
    return [tree for each in fields for tree in _pieces(each, steep, path.name)]


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _pieces(fields: Mapping[str, str], steep: float, where: str) -> Iterator[_Tree]:
    """A tree of up to 64 leaves as it is; a larger one in parts, 0 where another part answers."""

    def numbers(name: str) -> Floats:
        return np.array(fields.get(name, "").split(), dtype=np.float64)

    kinds = numbers("decision_type").astype(np.int64)
    # 1: categories; 4 in bits 2 and 3: zero means missing
    if (kinds & 1).any() or (kinds >> 2 & 3 == 1).any() or fields.get("is_linear", "0") != "0":
        msg = f"{where} has categories, linear leaves or zeros for missing: this scorer has not"
        raise ValueError(msg)
    feature, threshold = numbers("split_feature").astype(np.intp), numbers("threshold")
    values = numbers("leaf_value") * steep
    first, middle, last, order = _order(
        numbers("left_child").astype(int).tolist(), numbers("right_child").astype(int).tolist()
    )
    # missing goes where the split says, or counts as 0 where training saw none missing
    right = np.where(kinds >> 2 & 3 == 2, kinds & 2 == 0, threshold < 0)  # noqa: PLR2004
    step = _WORD if len(values) <= _WORD else _WORD - 1  # the last bit of a part says: not here
    for start in range(0, len(values), step):
        stop = min(start + step, len(values))
        leaves = np.zeros(_WORD)
        leaves[: stop - start] = values[order[start:stop]]
        edges = [np.clip(edge, start, stop) - start for edge in (first, middle, last)]
        above, at_most = (~(_FIRST[b] ^ _FIRST[a]) for a, b in pairwise(edges))
        missing = np.where(right, above, at_most)
        yield _Tree(leaves, feature, threshold, at_most, above, missing)


def _order(left: list[int], right: list[int]) -> tuple[NDArray[np.intp], ...]:
    """Leaves from left to right; per split, where those on its left begin, meet the others, end."""
    count = len(left)
    size = [1] * (2 * count + 1)  # a leaf ~c is at index c = -1, -2, …
    for split in reversed(range(count)):
        size[split] = size[left[split]] + size[right[split]]
    begin = [0] * (2 * count + 1)
    for split in range(count):  # LightGBM numbers a split before those below it
        begin[left[split]] = begin[split]
        begin[right[split]] = begin[split] + size[left[split]]
    first = np.array(begin[:count], dtype=np.intp)
    middle = first + np.array([size[i] for i in left], dtype=np.intp)
    last = first + np.array(size[:count], dtype=np.intp)
    return first, middle, last, np.argsort([begin[~leaf] for leaf in range(count + 1)])


def _calibrators(groups: list[Mapping[str, Any]], horizons: tuple[int, ...]) -> Floats:
    """Rows of a, b, c in the order of `horizons`; each horizon belongs to one group."""
    found = {h: (g["a"], g["b"], g["c"]) for g in groups for h in g["horizons_min"]}
    if sorted(found) != sorted(horizons):
        msg = f"scorer.json calibrates horizons {sorted(found)}, but answers {sorted(horizons)}"
        raise ValueError(msg)
    return np.array([found[h] for h in horizons], dtype=np.float64)
