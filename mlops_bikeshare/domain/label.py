"""What counts as out, and when: the definition of the labels that a model learns and is judged by.

Input    the table `[labels]` of bikeshare.toml; a version's own definition in its scorer.json.
Output   `Label`, frozen; `USUAL` is the default.

Features know the threshold too (distance to it, share of stations out, profiles of onsets), the
mode is a matter of labels alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.bounds import Between

Mode = Literal["at", "within"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a stockout is: how few are too few, and whether it counts on the way."""

    threshold: Annotated[
        int, "bikes (docks) at or below which a station is out of them", Between(0, 50)
    ] = 2
    mode: Annotated[
        Mode,
        "at: out at dt + horizon; within: out in any five minutes from dt to dt + horizon",
    ] = "at"

    @property
    def edge(self) -> float:
        """Half-way between the last count that is out and the first that is not."""
        return self.threshold + 0.5

    def out(self, counts: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each count is too few; the caller knows which counts are missing."""
        few: NDArray[np.bool_] = np.asarray(counts) <= self.threshold
        return few

    def __str__(self) -> str:
        return f"at most {self.threshold}, {self.mode} dt + horizon"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by `from_json`."""
        return {"threshold": self.threshold, "mode": self.mode}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(threshold=document["threshold"], mode=document["mode"])


USUAL = Label()
