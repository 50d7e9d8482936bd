"""The audit, for marks on charts and for Releases: decisions with who and why.

Output   `decisions`: number, decided_at, kind, endpoint, model_version, who, why, facts (dict),
         oldest first. Rows of the table monitoring_audit, the same in both profiles.
"""

import json
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.tables import MONITORING_AUDIT

if TYPE_CHECKING:
    import pandas as pd

    from mlops_bikeshare.backends import Workspace
    from mlops_bikeshare.domain.city import City

MOVES = ("deploy", "canary", "promotion", "rollback")


def decisions(ws: "Workspace", city: "City") -> "pd.DataFrame":
    """Every decision about a city."""
    rows = ws.lake.read(MONITORING_AUDIT, city=city.name)
    rows = rows.drop_duplicates("number").sort_values("number").reset_index(drop=True)
    return rows.assign(facts=[json.loads(text) for text in rows["facts"]])


def moves(rows: "pd.DataFrame") -> "pd.DataFrame":
    """What changed production: at, kind, what."""
    moved = rows[rows["kind"].isin(MOVES)]
    what = [
        f"{kind}: version {version} on {endpoint}"
        for kind, version, endpoint in zip(
            moved["kind"], moved["model_version"], moved["endpoint"], strict=True
        )
    ]
    return moved[["decided_at", "kind", "endpoint"]].assign(what=what)
