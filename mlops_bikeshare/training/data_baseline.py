"""What the training's features looked like, as Model Monitor's two files of data quality.

Input    rows: float32 (rows, features), NaN where missing; the features' names; which rows count.
Output   documents of `statistics.json` and `constraints.json`. A feature without any value has
         counts and no more: its type is Unknown and nothing is asked of it.
Raises   GridError where names and columns differ in number.
Source   AWS, SageMaker developer guide, "Schema for Statistics", "Schema for Constraints";
         Karnin, Lang & Liberty 2016 (KLL): items of level i stand for 2^i rows each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError

BUCKETS = 10
SKETCH_K = 256
COMPARED = 0.1  # distance of two distributions from which Model Monitor calls it drift: its own
Document = dict[str, Any]


def statistics(
    rows: NDArray[np.float32], names: Sequence[str], *, among: NDArray[np.bool_]
) -> Document:
    """Counts, moments and the distribution of every feature."""
    if rows.shape != (len(among), len(names)):
        raise GridError(f"{len(names)} names and {len(among)} rows to choose from {rows.shape}")
    # One column at a time: the rows of a large city are not held twice.
    features = [_feature(name, rows[among, i]) for i, name in enumerate(names)]
    count = int(np.count_nonzero(among))
    return {"version": 0.0, "dataset": {"item_count": count}, "features": features}


def constraints(told: Mapping[str, Any]) -> Document:
    """What the statistics of a training ask of later rows."""
    return {
        "version": 0.0,
        "features": [_constraint(feature) for feature in told["features"]],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": COMPARED,
                "comparison_method": "Robust",
            },
        },
    }


def _feature(name: str, column: NDArray[np.float32]) -> Document:
    known = np.sort(column[np.isfinite(column)]).astype(np.float64)
    common = {"num_present": known.size, "num_missing": column.size - known.size}
    if not known.size:
        counted = {"common": common}
        return {"name": name, "inferred_type": "Unknown", "numerical_statistics": counted}
    whole = bool((known == np.round(known)).all())
    return {
        "name": name,
        "inferred_type": "Integral" if whole else "Fractional",
        "numerical_statistics": {
            "common": common,
            "mean": float(known.mean()),
            "sum": float(known.sum()),
            "std_dev": float(known.std()),
            "min": float(known[0]),
            "max": float(known[-1]),
            "distribution": {"kll": {"buckets": _buckets(known), "sketch": _sketch(known)}},
        },
    }


def _buckets(ordered: NDArray[np.float64]) -> list[Document]:
    """Ten of equal width from least to most; one where there is one value only."""
    bins = BUCKETS if ordered[-1] > ordered[0] else 1
    edges = np.linspace(ordered[0], ordered[-1], bins + 1)
    upto = np.searchsorted(ordered, edges[1:-1], side="left")
    counts = np.diff(np.concatenate([[0], upto, [ordered.size]]))
    return [
        {"lower_bound": float(low), "upper_bound": float(high), "count": int(count)}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def _sketch(ordered: NDArray[np.float64]) -> Document:
    """Every 2^i-th value at the highest level; the median for the few that are left over."""
    level = max(0, int(np.ceil(np.log2(ordered.size / SKETCH_K))))
    step = 2**level
    kept = ordered.size // step * step
    rest, middle = ordered.size - kept, float(ordered[ordered.size // 2])
    data = [[middle] if rest >> i & 1 else [] for i in range(level)]
    data.append(ordered[:kept].reshape(-1, step)[:, step // 2].tolist())
    return {"parameters": {"c": 0.64, "k": float(SKETCH_K)}, "data": data}


def _constraint(feature: Mapping[str, Any]) -> Document:
    told = feature["numerical_statistics"]
    present, missing = told["common"]["num_present"], told["common"]["num_missing"]
    found = {"name": feature["name"], "inferred_type": feature["inferred_type"]}
    if not present:
        return found
    signs = {"num_constraints": {"is_non_negative": told["min"] >= 0}}
    return {**found, "completeness": present / (present + missing), **signs}
