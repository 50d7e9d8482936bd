"""Polls to five-minute slots: the newest poll in (slot - 5 min, slot] speaks for the slot.

Input    STATION_STATUS_RAW rows, any number of polls.
Output   STATION_STATUS rows, one per station and slot that a poll reached. A missed poll leaves
         no row, and moves none.
"""

from typing import TYPE_CHECKING

from mlops_bikeshare.domain.tables import STATION_STATUS
from mlops_bikeshare.domain.windows import SLOT_S

if TYPE_CHECKING:
    import pandas as pd


def to_slots(raw: "pd.DataFrame") -> "pd.DataFrame":
    """The curated rows of some polls."""
    import pandas as pd

    if len(raw) and raw["fetched_at"].min() == raw["fetched_at"].max():
        # One poll, whose stations are different ones: nothing to choose from.
        slot = raw["fetched_at"].iloc[0].ceil(f"{SLOT_S}s")
        columns = {name: slot if name == "slot" else raw[name] for name in STATION_STATUS.names}
        return pd.DataFrame(columns).reset_index(drop=True)
    slots = raw.assign(slot=raw["fetched_at"].dt.ceil(f"{SLOT_S}s"))
    newest = slots.sort_values("fetched_at", kind="stable")
    newest = newest.drop_duplicates(["station_id", "slot"], keep="last")
    return newest[STATION_STATUS.names].reset_index(drop=True)
