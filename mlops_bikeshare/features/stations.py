"""The station list that a day's features may use: what was read by the start of that UTC day.

Input    rows of `station_information_raw`: every list as read.
Output   one row per station. Before the first list was read there is only that one to go by.

A station that is listed during a day joins with the next, offline as online: capacity, positions
and so neighbours stay what they were all day, however late its features are built.
"""

from datetime import date

import pandas as pd

from mlops_bikeshare.domain.windows import Window


def known_list(lists: pd.DataFrame, *, day: date) -> pd.DataFrame:
    """The newest row of each station by the start of `day`."""
    fetched = lists["fetched_at"]
    limit = max(pd.Timestamp(Window.day(day).start), fetched.min())
    return newest_list(lists[fetched <= limit])


def newest_list(lists: pd.DataFrame) -> pd.DataFrame:
    """The newest row of each station."""
    newest = lists.sort_values("fetched_at", kind="stable")
    return newest.drop_duplicates("station_id", keep="last").reset_index(drop=True)
