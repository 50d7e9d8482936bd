"""Once-sampled rows: each chosen (station, dt) trains at one horizon only.

Half the time of training on all horizons at the same quality (measured). The choice is a hash of
(seed, station_id, dt), so it does not depend on the order of rows or on which other rows exist.

Input    station ids, station: intp (rows,) index into them, dt: int64 seconds (rows,).
Output   Sample.rows: intp (n,) ascending, Sample.horizon_min: int16 (n,).
Raises   InputError if `max_rows` is not positive, or a row's station is not listed.
Source   SplitMix64: Steele, Lea and Flood, Fast splittable pseudorandom number generators (2014).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN

# Half of the rows teach the promised horizon, the others share the rest.
PROMISE_WEIGHT = float(len(HORIZONS_MIN) - 1)


@dataclass(frozen=True, slots=True)
class Sample:
    """Chosen rows and the horizon of each."""

    rows: NDArray[np.intp]
    horizon_min: NDArray[np.int16]

    def parts(self, *, most: int = 100_000) -> Iterator["Sample"]:
        """The same rows, a bounded number at a time."""
        for start in range(0, len(self.rows), most):
            chosen = slice(start, start + most)
            yield Sample(self.rows[chosen], self.horizon_min[chosen])

    def matrix(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The model's input, float32 (n, features + 1): the horizon is the last column."""
        matrix = np.empty((len(self.rows), features.shape[1] + 1), dtype=np.float32)
        np.take(features, self.rows, axis=0, out=matrix[:, :-1], mode="clip")
        matrix[:, -1] = self.horizon_min
        return matrix


def sample_once(
    station_ids: Sequence[str],
    station: NDArray[np.integer],
    dt: NDArray[np.int64],
    *,
    among: NDArray[np.bool_],
    max_rows: int,
    seed: int,
    weights: Mapping[int, float] | None = None,
) -> Sample:
    """Choose at most `max_rows` of the rows in `among`, and a horizon for each by its weight."""
    if max_rows < 1:
        msg = f"max_rows={max_rows}: expected a positive number of rows"
        raise InputError(msg)
    rows = np.flatnonzero(among)
    if len(rows) and not 0 <= station[rows].min() <= station[rows].max() < len(station_ids):
        msg = f"rows of stations that are not among the {len(station_ids)} listed"
        raise InputError(msg)
    salt = np.array([_digest(seed, name) for name in station_ids], dtype=np.uint64)
    key = _mix(salt[station[rows]] ^ _mix(dt[rows].astype(np.uint64)))
    if len(rows) > max_rows:
        kept = np.sort(np.argpartition(key, max_rows)[:max_rows])
        rows, key = rows[kept], key[kept]
    return Sample(rows, _horizons(_mix(key), weights or default_weights()))


def default_weights() -> dict[int, float]:
    """Every horizon alike, but the promised one as much as all others."""
    return {h: PROMISE_WEIGHT if h == PROMISE_MIN else 1.0 for h in HORIZONS_MIN}


def _horizons(key: NDArray[np.uint64], weights: Mapping[int, float]) -> NDArray[np.int16]:
    shares = np.cumsum(list(weights.values()))
    uniform = (key >> np.uint64(11)) * 2.0**-53
    chosen = np.searchsorted(shares[:-1] / shares[-1], uniform, side="right")
    return np.array(list(weights), dtype=np.int16)[chosen]


def _digest(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}\x1f{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: every output bit depends on every input bit."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
