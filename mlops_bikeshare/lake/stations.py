"""Station lists to versions with validity, and back to the list of a time.

Input    STATION_INFORMATION_RAW lists, as read; STATION_INFORMATION versions, any order.
Output   `changed`: the versions that a new list adds. `valid_at`: one row per station as it was
         known then, with the columns of STATION_INFORMATION.
Method   a version holds from valid_from until the station's next one. A station that a list leaves
         out keeps its last version: feeds drop stations for an hour and bring them back. Before
         the first version of all, the first ones are the best that is known.
"""

from typing import TYPE_CHECKING

import numpy as np

from mlops_bikeshare.domain.tables import STATION_INFORMATION

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

FACTS = ("name", "lat", "lon", "capacity", "region_id", "capacity_inferred")


def changed(
    known: "pd.DataFrame", listed: "pd.DataFrame", *, inferred: "pd.Series[int] | None" = None
) -> "pd.DataFrame":
    """New versions: rows of `listed` (one list) that differ from the newest of `known`.

    `inferred`: station_id → capacity, for the stations whose list gives none, or 0; what was
    inferred before holds where there are no counts to infer it from, as after an outage.
    """
    import pandas as pd

    if known.empty:
        return _versions(listed, inferred)
    newest = valid_at(known, pd.Timestamp.max.tz_localize("UTC")).set_index("station_id")
    held = newest["capacity"][newest["capacity_inferred"].astype(bool)]
    rows = _versions(listed, held if inferred is None else inferred.combine_first(held))
    before = newest.reindex(rows["station_id"].to_numpy())
    same = np.isin(rows["station_id"].to_numpy(), newest.index.to_numpy())
    for name in FACTS:
        same &= _equal(rows[name], before[name])
    return rows[~same].reset_index(drop=True)


def valid_at(versions: "pd.DataFrame", at: "datetime | pd.Timestamp") -> "pd.DataFrame":
    """The stations as known at `at`."""
    times = versions["valid_from"]
    first = times.min() if len(versions) else at
    known = versions[times <= max(at, first)]
    newest = known.sort_values("valid_from", kind="stable")
    newest = newest.drop_duplicates("station_id", keep="last")
    return newest.sort_values("station_id").reset_index(drop=True)


def capacities(status: "pd.DataFrame") -> "pd.Series[int]":
    """What stations hold, from their counts: the most frequent sum of bikes and docks.

    Input    curated or raw status rows; broken bikes and docks count, where the feed gives them.
    """
    whole = status["num_bikes_available"] + status["num_docks_available"]
    for name in ("num_bikes_disabled", "num_docks_disabled"):
        whole = whole + status[name].fillna(0)
    sums = status.assign(whole=whole).dropna(subset=["whole"])
    sums = sums[sums["whole"] > 0]
    counted = sums.groupby(["station_id", "whole"]).size().reset_index(name="times")
    counted = counted.sort_values(["times", "whole"], kind="stable")
    newest: pd.Series[int] = counted.drop_duplicates("station_id", keep="last").set_index(
        "station_id"
    )["whole"]
    return newest


def _versions(listed: "pd.DataFrame", inferred: "pd.Series[int] | None") -> "pd.DataFrame":
    rows = listed.rename(columns={"fetched_at": "valid_from"})
    given = rows["capacity"].where(rows["capacity"] > 0)
    if inferred is None:
        filled = given
    else:
        filled = given.fillna(rows["station_id"].map(inferred).astype("Int16"))
    unsure = given.isna() & filled.notna()
    rows = rows.assign(capacity=filled.astype("Int16"), capacity_inferred=unsure.astype(bool))
    return rows[STATION_INFORMATION.names]


def _equal(ours: "pd.Series", theirs: "pd.Series") -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Equal, or both unknown."""
    mine, others = (part.astype("object").reset_index(drop=True) for part in (ours, theirs))
    both = mine.isna() & others.isna()
    known = mine.notna() & others.notna()
    return (both | (known & (mine == others).fillna(value=False))).to_numpy(dtype=bool)
