"""Polls to five-minute slots: the newest poll in (slot - 5 min, slot] speaks for the slot.

Input    STATION_STATUS_RAW rows: `to_slots` a frame of any number of polls, `poll_to_slot` one poll
         as Arrow, whose stations are different ones.
Output   STATION_STATUS rows, one per station and slot that a poll reached. A missed poll leaves
         no row, and moves none.
"""

from typing import TYPE_CHECKING

from mlops_bikeshare.domain.tables import STATION_STATUS, arrow_schema
from mlops_bikeshare.domain.windows import SLOT_S

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def to_slots(raw: "pd.DataFrame") -> "pd.DataFrame":
    """The curated rows of some polls."""
    slots = raw.assign(slot=raw["fetched_at"].dt.ceil(f"{SLOT_S}s"))
    newest = slots.sort_values("fetched_at", kind="stable")
    newest = newest.drop_duplicates(["station_id", "slot"], keep="last")
    return newest[STATION_STATUS.names].reset_index(drop=True)


def poll_to_slot(raw: "pa.Table") -> "pa.Table":
    """The curated rows of one poll: there is nothing to choose from."""
    import pandas as pd
    import pyarrow as pa

    schema = arrow_schema(STATION_STATUS)
    slot = pd.Timestamp(raw["fetched_at"][0].as_py()).ceil(f"{SLOT_S}s")
    slots = pa.repeat(pa.scalar(slot, schema.field("slot").type), raw.num_rows)
    columns = [slots if name == "slot" else raw[name] for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)
