"""Verify features: the proofs of features/proofs.py on a recording or on the workspace's lake.

Input    raw polls of one whole day with the hours and the days before it, as they were fetched; a
         share of them is dropped and as many are delivered late before anything is proven.
Output   Verified, one line per proof.
Raises   InputError when there is no whole day with a day before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.tables import STATION_STATUS_RAW
from mlops_bikeshare.domain.windows import Window, parse_time
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.features.offline import day_grid
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.proofs import (
    PROOFS,
    Case,
    sampled_times,
    with_missed_and_late_polls,
)
from mlops_bikeshare.flows.features import station_list
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.lake.slots import to_slots
from mlops_bikeshare.sources.recorded import Recording, poll_times

if TYPE_CHECKING:
    import pandas as pd

Polls = Callable[[Window], "pd.DataFrame"]
LOST_SHARE = 0.1
PROFILE_DAYS = 3
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """One proof and what went wrong; nothing when it holds."""

    name: str
    wrong: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the features passed."""
        return not self.wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """All proofs on one day."""

    city: str
    day: date
    stations: int
    rows: int
    decision_times: tuple[datetime, ...]
    proofs: tuple[Proven, ...]

    @property
    def holds(self) -> bool:
        """Whether every proof holds."""
        return all(proof.holds for proof in self.proofs)


def recorded(recording: Recording, city: City, *, day: str | None) -> tuple[Polls, date]:
    """Polls of a recording, and the day to prove on."""

    def polls(window: Window) -> "pd.DataFrame":
        return recording.polls(poll_times(window))

    return polls, _chosen(recording.span.days(), day, f"recording of {city.name}")


def stored(ws: Workspace, city: City, *, day: str | None) -> tuple[Polls, date]:
    """Polls in the workspace's lake, and the day to prove on."""

    def polls(window: Window) -> "pd.DataFrame":
        return ws.lake.read(STATION_STATUS_RAW, city=city.name, window=window)

    days = ws.lake.days(STATION_STATUS_RAW, city=city.name)
    return polls, _chosen(days, day, f"lake of {city.name}")


def verify(
    polls: Polls,
    city: City,
    day: date,
    stations: "pd.DataFrame",
    *,
    times: int = 6,
    seed: int = 0,
    track: Track = silent,
) -> Verified:
    """Run every proof on `day`."""
    case = _case(polls, city, day, stations, times=times, seed=seed)
    proofs = track(PROOFS.items(), label=f"verify {city.name}", total=len(PROOFS))
    proven = tuple(Proven(name=name, wrong=tuple(proof(case))) for name, proof in proofs)
    return Verified(
        city=city.name,
        day=day,
        stations=len(stations),
        rows=len(case.offline()),
        decision_times=case.dts,
        proofs=proven,
    )


def stations_of(ws: Workspace, city: City) -> "pd.DataFrame":
    """The station list of the lake."""
    return station_list(ws, city)


def summary(done: Verified) -> str:
    """Pass or fail of each proof, with the first differences."""
    head = f"{done.city} {done.day}: {done.rows:,} rows of {done.stations} stations"
    lost = f"{LOST_SHARE:.0%} of the polls missed, as many late"
    lines = [f"{head}; {lost}; {len(done.decision_times)} decision times sampled"]
    for proof in done.proofs:
        lines.append(f"{'pass' if proof.holds else 'FAIL'}  {proof.name}")
        lines += [f"      {text}" for text in proof.wrong[:_SHOWN]]
        if len(proof.wrong) > _SHOWN:
            lines.append(f"      and {len(proof.wrong) - _SHOWN} more")
    return "\n".join(lines)


def _case(
    polls: Polls, city: City, day: date, stations: "pd.DataFrame", *, times: int, seed: int
) -> Case:
    state = ProfileState.empty()
    for before in range(PROFILE_DAYS, 0, -1):
        earlier = day - timedelta(days=before)
        grid = day_grid(_status(polls, earlier, seed=seed), day=earlier, stations=stations)
        state = state.update(grid, day=earlier, zone=city.zone, label=city.label)
    case = Case(
        day=day,
        status=_status(polls, day, seed=seed),
        stations=stations,
        city=city,
        profiles=state,
        dts=sampled_times(day, times=times, seed=seed),
    )
    if case.offline().empty:
        msg = f"{city.name}: no station's bikes are known on {day}"
        raise InputError(f"{msg}; choose a --day on which stations reported")
    return case


def _status(polls: Polls, day: date, *, seed: int) -> "pd.DataFrame":
    whole = Window.day(day)
    raw = polls(Window(whole.start - LOOKBACK, whole.end))
    return to_slots(with_missed_and_late_polls(raw, share=LOST_SHARE, seed=seed))


def _chosen(days: Sequence[date], day: str | None, what: str) -> date:
    """The day asked for, or the one in the middle; it needs a recorded day before it."""
    whole = days[1:-1] if len(days) > 2 else days[1:]  # noqa: PLR2004 - first and last are parts
    if not whole:
        there = f"{days[0]}..{days[-1]}" if days else "nothing"
        raise InputError(f"the {what} holds {there}: expected a whole day with a day before it")
    wanted = parse_time(day, key="--day").date() if day else whole[len(whole) // 2]
    if not days[0] < wanted <= days[-1]:
        msg = f"--day {wanted}: the {what} holds {days[0]}..{days[-1]}"
        raise InputError(f"{msg}; choose a day in it with a day before it")
    return wanted
