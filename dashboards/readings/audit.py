"""The audit, for marks on charts and for Releases: decisions with who and why.

Output   `decisions`: number, decided_at, kind, endpoint, model_version, who, why, facts (dict),
         oldest first. Rows of the table monitoring_audit, the same in both profiles.
"""

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.tables import MONITORING_AUDIT
from mlops_bikeshare.release.history import MOVES

if TYPE_CHECKING:
    import pandas as pd

    from mlops_bikeshare.backends import Workspace
    from mlops_bikeshare.domain.city import City


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


def entries(rows: "pd.DataFrame") -> list[dict[str, Any]]:
    """The rows as the audit's entries, oldest first, as `release.history` takes them."""
    times = [at.to_pydatetime().astimezone(UTC).isoformat() for at in rows["decided_at"]]
    kept = rows[["kind", "who", "why", "facts", "digest"]].astype(object)
    plain = [dict(zip(kept.columns, row, strict=True)) for row in kept.to_numpy().tolist()]
    return [{**entry, "at": at} for entry, at in zip(plain, times, strict=True)]
