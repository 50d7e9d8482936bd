"""All trees of a version as tables that a row is looked up in, once for all horizons.

Input    `Tree`s per target, each booster with the horizons it serves; float64 (rows, features).
Output   log-odds, float64 (targets, rows, horizons).
Source   QuickScorer: Lucchese et al. (2015), with a table per feature in place of its sorted
         comparisons.

A tree is a bit per leaf: each split takes away the leaves it makes unreachable; the one left
answers. What a feature's value leaves of all trees is one row of a table, and the horizon, a
feature too, is applied last: a row is walked once for its horizons. Trees of at most 32 leaves
take words of 32 bits, half of the memory that a walk has to read. Leaf values are rounded to 2^-40:
their sums are exact in any order, so rows do not touch each other.

Travels inside a version, see the package. Nothing here needs more than numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .trees import ALL, WORD, Floats, Tree

CHUNK_ROWS = 64  # what so many rows take stays in a processor's cache: 256 cost three times as much
FEW_ROWS = 8  # up to here all tables are read at once: a call per table would cost more
_HALF_WORD = 32
_FINE = 40

Words = NDArray[np.uint32] | NDArray[np.uint64]
Grown = tuple[Sequence[int], Sequence[Tree]]  # the horizons that trees serve, and the trees


@dataclass(frozen=True, slots=True)
class _Table:
    """What a feature's value leaves of every tree: a row per interval, the last if it is missing.

    Interval i holds the values above i of the thresholds, at most the next.
    """

    feature: int
    thresholds: Floats
    masks: Words

    @classmethod
    def of(cls, feature: int, trees: Sequence[Tree], *, word: Any) -> "_Table":
        """The table of one feature over all trees, in words of that kind."""
        mine = [tree.feature == feature for tree in trees]
        number = np.repeat(np.arange(len(trees)), list(map(np.count_nonzero, mine)))

        def all_of(name: str) -> Any:
            return np.concatenate([getattr(t, name)[m] for t, m in zip(trees, mine, strict=True)])

        thresholds, at = np.unique(all_of("threshold"), return_inverse=True)
        upward = np.full((len(thresholds) + 2, len(trees)), ALL.astype(word))
        downward = upward.copy()
        np.bitwise_and.at(upward, (at + 1, number), all_of("above").astype(word))
        np.bitwise_and.at(downward, (at, number), all_of("at_most").astype(word))
        masks: Words = np.bitwise_and.accumulate(upward)
        masks &= np.bitwise_and.accumulate(downward[::-1])[::-1]
        masks[-1] = ALL.astype(word)
        np.bitwise_and.at(masks[-1], number, all_of("missing").astype(word))
        return cls(feature, thresholds, masks)

    def rows(self, values: Floats) -> NDArray[np.intp]:
        """The row of the table for each value."""
        rows = np.searchsorted(self.thresholds, values)
        return np.where(np.isnan(values), len(self.masks) - 1, rows)


@dataclass(frozen=True, slots=True)
class _Whole:
    """All tables as one, for a row at a time; `begin` and `first` say where each begins in it."""

    feature: NDArray[np.intp]
    of_threshold: NDArray[np.intp]
    thresholds: Floats
    begin: NDArray[np.intp]
    masks: Words
    first: NDArray[np.intp]
    missing: NDArray[np.intp]

    @classmethod
    def of(cls, tables: Sequence[_Table]) -> "_Whole":
        """These tables; each has a threshold."""
        feature = np.array([table.feature for table in tables], dtype=np.intp)
        sizes = np.array([len(table.thresholds) for table in tables], dtype=np.intp)
        ends = np.cumsum(sizes + 2)
        return cls(
            feature,
            np.repeat(feature, sizes),
            np.concatenate([table.thresholds for table in tables]),
            np.cumsum(sizes) - sizes,
            np.concatenate([table.masks for table in tables]),
            ends - sizes - 2,
            ends - 1,
        )

    def left(self, row: Floats) -> Words:
        """What the features of a row leave of every tree."""
        above = np.add.reduceat(row[self.of_threshold] > self.thresholds, self.begin, dtype=np.intp)
        at = np.where(np.isnan(row[self.feature]), self.missing, self.first + above)
        left: Words = np.bitwise_and.reduce(self.masks[at], axis=0)
        return left


@dataclass(frozen=True, slots=True)
class Forest:
    """The trees of every target; `tree` and `mask` list each tree once per answer to the horizon.

    A tree that does not ask for the horizon is there once, others as often as their splits tell
    the horizons apart that they serve. `first` is where a tree's leaves begin in `values`.
    `targets` says where a target's begin and end and which horizons each serves.
    """

    tables: tuple[_Table, ...]
    whole: _Whole | None
    tree: NDArray[np.intp]
    mask: Words
    values: Floats
    first: NDArray[np.intp]
    targets: tuple[tuple[slice, Floats], ...]

    @classmethod
    def plant(
        cls, targets: Sequence[Sequence[Grown]], horizon: int, horizons_min: Sequence[int]
    ) -> "Forest":
        """The forest of these trees; `horizon` is the number of the horizon's feature."""
        grown = [(served, tree) for target in targets for served, trees in target for tree in trees]
        trees = [tree for _, tree in grown]
        sizes = np.array([len(tree.values) for tree in trees])
        bits = _HALF_WORD if sizes.max() <= _HALF_WORD else WORD
        word = np.dtype(f"uint{bits}")
        tables = tuple(_Table.of(feature, trees, word=word) for feature in range(horizon))
        last = _Table.of(horizon, trees, word=word)
        left = last.masks[last.rows(np.array(horizons_min, dtype=np.float64))]
        answers = [
            _answers(left[:, i], horizons_min, served) for i, (served, _) in enumerate(grown)
        ]
        of_tree = np.repeat(np.arange(len(trees)), [len(masks) for masks, _ in answers])
        # where each target's answers begin, and where the last one's end
        counts = [sum(len(trees) for _, trees in target) for target in targets]
        edges = np.searchsorted(of_tree, np.cumsum([0, *counts]))
        whole = np.concatenate([serves for _, serves in answers])
        values = np.concatenate([tree.values for tree in trees])
        asked = tuple(table for table in tables if len(table.thresholds))
        return cls(
            asked,
            _Whole.of(asked) if asked else None,
            of_tree,
            np.concatenate([masks for masks, _ in answers]),
            np.ldexp(np.round(np.ldexp(values, _FINE)), -_FINE),
            (np.cumsum(sizes) - sizes)[of_tree],
            tuple((slice(a, b), whole[a:b]) for a, b in pairwise(edges)),
        )

    def log_odds(self, matrix: Floats) -> Floats:
        """Sums of leaf values, shape (targets, rows, horizons)."""
        answer = np.empty((len(self.targets), len(matrix), self.targets[0][1].shape[1]))
        if self.whole is not None and 0 < len(matrix) <= FEW_ROWS:
            return self._sums(np.array([self.whole.left(row) for row in matrix]))
        rows = [table.rows(matrix[:, table.feature]) for table in self.tables]
        for start in range(0, len(matrix), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            left = self._left([each[chunk] for each in rows], len(matrix[chunk]))
            answer[:, chunk] = self._sums(left)
        return answer

    def _left(self, rows: Sequence[NDArray[np.intp]], count: int) -> Words:
        """The leaves that are left of every tree, before the horizon is asked."""
        word = self.mask.dtype
        left = np.full((count, self.tree[-1] + 1), ALL.astype(word), dtype=word)
        taken = np.empty_like(left)
        for table, at in zip(self.tables, rows, strict=True):
            # every index is in bounds; saying so spares a copy
            np.take(table.masks, at, axis=0, out=taken, mode="clip")
            np.bitwise_and(left, taken, out=left)
        return left

    def _sums(self, left: Words) -> Floats:
        """Of the values of the leaves that answer, shape (targets, rows, horizons)."""
        ends = left[:, self.tree] & self.mask
        ends &= np.negative(ends)  # the lowest bit alone
        values = self.values[np.bitwise_count(ends - ends.dtype.type(1)) + self.first]
        return np.stack([values[:, part] @ serves for part, serves in self.targets])


def _answers(
    left: Words, horizons_min: Sequence[int], served: Sequence[int]
) -> tuple[Words, Floats]:
    """What the horizons leave of a tree, each answer once, and the horizons that it is of."""
    at = np.isin(horizons_min, served)
    found: tuple[Any, ...] = np.unique(left[at], return_inverse=True)
    masks, which = found
    serves = np.zeros((len(masks), len(at)))
    serves[which, np.flatnonzero(at)] = 1
    return masks, serves
