"""Challenger against champion on the same station-times.

Input    y: (rows,) 1, 0 or NaN; challenger, champion: (rows,) probabilities, NaN where one did not
         answer; blocks: int (rows,), see `bootstrap.station_blocks`.
Output   Comparison (Brier score of the challenger minus the champion's, 95 % interval), or None
         where fewer than two blocks have a label and both answers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.reports import Comparison
from mlops_bikeshare.evaluation.bootstrap import paired_blocks

Array = NDArray[Any]


def compare(
    target: str, y: Array, challenger: Array, champion: Array, blocks: Array, *, seed: int
) -> Comparison | None:
    """How much worse (positive) or better (negative) the challenger is, and how surely."""
    y, p, q = (np.asarray(values, dtype=np.float64) for values in (y, challenger, champion))
    both = ~np.isnan(y + p + q)
    blocks = np.asarray(blocks)[both]
    if np.unique(blocks).size < 2:  # noqa: PLR2004 - one block has no spread
        return None
    difference = ((p - y) ** 2 - (q - y) ** 2)[both]
    mean, low, high = paired_blocks(difference, blocks, seed=seed)
    return Comparison(target=target, rows=difference.size, difference=mean, low=low, high=high)
