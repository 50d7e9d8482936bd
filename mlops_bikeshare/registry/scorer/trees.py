"""LightGBM's text to trees that are a bit per leaf.

Input    the file of a booster: a binary classifier of numbers, without linear leaves.
Output   `Tree`s of at most 64 leaves, which answer in log-odds; a larger tree comes in parts.
Raises   ValueError for trees of other features or of a kind that would be answered wrongly.

Travels inside a version, see the package. Nothing here needs more than numpy.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WORD = 64

Floats = NDArray[np.float64]
Masks = NDArray[np.uint64]
_FIRST: Masks = np.array([(1 << bits) - 1 for bits in range(WORD + 1)], dtype=np.uint64)
ALL = _FIRST[WORD]


@dataclass(frozen=True, slots=True)
class Tree:
    """At most 64 leaves in order from left to right, and what each split takes away from them."""

    values: Floats
    feature: NDArray[np.intp]
    threshold: Floats
    at_most: Masks
    above: Masks
    missing: Masks


def read_trees(path: Path, inputs: list[str]) -> list[Tree]:
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


def _pieces(fields: Mapping[str, str], steep: float, where: str) -> Iterator[Tree]:
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
    whole = len(values) <= WORD
    step = WORD if whole else WORD - 1  # the last bit of a part says: not here
    for start in range(0, len(values), step):
        stop = min(start + step, len(values))
        leaves = values[order[start:stop]]
        edges = [np.clip(edge, start, stop) - start for edge in (first, middle, last)]
        above, at_most = (~(_FIRST[b] ^ _FIRST[a]) for a, b in pairwise(edges))
        missing = np.where(right, above, at_most)
        leaves = leaves if whole else np.append(leaves, np.zeros(WORD - len(leaves)))
        yield Tree(leaves, feature, threshold, at_most, above, missing)


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
