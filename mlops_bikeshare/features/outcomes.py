"""What became of each station in every slot of a long span, at a byte a slot and target.

Input    grids by `observed_at` that follow each other in time.
Output   `Outcomes`: int8 (slots, stations) per target, 1 out, 0 not out, -1 not known (as NaN in
         `labels`); labels of rows as float32 (rows,), NaN where unknown.
Raises   GridError when grids leave a gap or differ in stations, or a time is not a slot.

The labels are those of `labels.out_for_rows`; a season of a large city fits in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import SLOT_S
from mlops_bikeshare.features.grid import Grid, Seconds
from mlops_bikeshare.features.labels import Indices, along, out_at, slots_ahead

UNKNOWN = -1
Bytes = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcome of each station in each slot; slot i ends at `start_s` + 300 i."""

    stations: tuple[str, ...]
    start_s: int
    values: Mapping[str, Bytes]
    label: Label = USUAL

    @classmethod
    def of(cls, grid: Grid, *, label: Label = USUAL) -> "Outcomes":
        """The outcomes of a grid's slots."""
        values = {t.name: out_at(grid, target=t, horizon_min=0, label=label) for t in TARGETS}
        return cls(grid.stations, grid.start_s, {n: _bytes(v) for n, v in values.items()}, label)

    @classmethod
    def joined(cls, parts: Sequence["Outcomes"]) -> "Outcomes":
        """Parts that follow each other in time, over the same stations, as one."""
        ends = [part.start_s + SLOT_S * part.slots for part in parts]
        starts = [part.start_s for part in parts[1:]]
        if starts != ends[:-1] or len({(p.stations, p.label) for p in parts}) != 1:
            msg = "outcomes to join must follow each other without a gap, over the same stations"
            raise GridError(msg)
        joined = {t.name: np.concatenate([p.values[t.name] for p in parts]) for t in TARGETS}
        return cls(parts[0].stations, parts[0].start_s, joined, parts[0].label)

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.values[TARGETS[0].name])

    @property
    def slot_ends(self) -> Seconds:
        """End of each slot, seconds since 1970."""
        return self.start_s + SLOT_S * np.arange(self.slots, dtype=np.int64)

    def slot_of(self, at_s: Seconds) -> Seconds:
        """Slot index of each time; it may lie beyond the end, never before the start."""
        slot, rest = np.divmod(np.asarray(at_s, dtype=np.int64) - self.start_s, SLOT_S)
        if np.any(rest) or np.any(slot < 0):
            msg = f"times before the first outcome, or not on a {SLOT_S} s boundary"
            raise GridError(msg)
        return slot

    def labels(
        self,
        target: str,
        *,
        at_s: Seconds,
        station: npt.NDArray[np.integer],
        horizon_min: npt.NDArray[np.integer] | int,
    ) -> npt.NDArray[np.float32]:
        """Whether each station is out at (or within) `horizon_min` after `at_s`; NaN unknown."""
        at_s, station = np.asarray(at_s, dtype=np.int64), np.asarray(station)

        def outcome(rows: Indices, ahead: Indices) -> npt.NDArray[np.float32]:
            slot = self.slot_of(at_s[rows] + SLOT_S * ahead)
            inside = slot < self.slots
            value = self.values[target][np.where(inside, slot, 0), station[rows]]
            return np.where(inside & (value != UNKNOWN), value, np.nan).astype(np.float32)

        ahead = slots_ahead(np.asarray(horizon_min, dtype=np.int64))
        return along(outcome, ahead=ahead, rows=len(at_s), mode=self.label.mode)


def _bytes(labels: npt.NDArray[np.float32]) -> Bytes:
    return np.where(np.isnan(labels), UNKNOWN, labels).astype(np.int8)
