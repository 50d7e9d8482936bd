"""Live: one process that polls, predicts, judges and builds features, until told to stop.

Input    a workspace, cities with their feeds, a `Pace` (whose clock it is, and how to wait).
Output   per city what came in, what was lost and why.

Every poll interval all feeds are read at once, `LEAD_S` before the interval ends, so that the
slot that ends there knows them, and none waits for another beyond that end;
every ten minutes a batch, its judgement (drift every hour) and a look at production, which takes a
canary further or rolls back (`watch`);
every hour the station list and, in a thread of its own, the weather;
after midnight (UTC) the features and profiles of the day before, and the objects of the days that
are over become one (a batch has gone out by then); who was off at midnight does so when back.
A job that fails is told and counted, and stops neither the others nor the loop. What was missed
(a kill, a day without network) is not invented: it is a gap, and the loop goes on from now; polls
that were stored but not curated are caught up with at the start.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import get_args

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, InputError, Refused
from mlops_bikeshare.domain.tables import PROFILES
from mlops_bikeshare.domain.windows import CADENCE_S, DAY_S, from_seconds, to_seconds
from mlops_bikeshare.flows import (
    compact,
    curating,
    features,
    infer,
    ingest,
    monitor,
    records,
    watch,
)
from mlops_bikeshare.flows.live_readings import Readings, Said
from mlops_bikeshare.flows.live_weather import HourlyWeather
from mlops_bikeshare.flows.process.lived import Lived
from mlops_bikeshare.flows.process.pace import Pace
from mlops_bikeshare.release import history
from mlops_bikeshare.settings import Stage
from mlops_bikeshare.sources.feed import Feed, Reading
from mlops_bikeshare.sources.weather import WeatherSource

log = logging.getLogger(__name__)
LEAD_S = 30
_HOUR_S = 3600
# Past midnight by this much: the last poll of the day before has surely been stored.
_AFTER_MIDNIGHT_S = 600
_SHORTEST_POLL_S, _LONGEST_POLL_S = 60, 300
_STAGES: tuple[Stage, ...] = get_args(Stage)


def live(
    ws: Workspace,
    cities: Sequence[City],
    feeds: Mapping[str, Feed],
    pace: Pace,
    *,
    poll_s: int,
    weather: Mapping[str, WeatherSource] | None = None,
) -> list[Lived]:
    """Run until the pace says stop; `weather`: by city, asked beside the polls."""
    if not _SHORTEST_POLL_S <= poll_s <= _LONGEST_POLL_S or CADENCE_S % poll_s:
        msg = f"ingest.poll_s: expected a divisor of {CADENCE_S} from 60 to 300, got {poll_s}"
        raise InputError(msg)
    told = {city.name: Lived(city=city.name) for city in cities}
    ws.advance(pace.now())
    for city in cities:
        told[city.name].caught_up = curating.catch_up(ws, city)
        told[city.name].closed = _closed(ws, city)
        _information(ws, city, feeds[city.name], pace.now(), told[city.name])
    asked = {city.name: feeds[city.name] for city in cities}
    with Readings(asked, pace) as readings, HourlyWeather(ws, weather or {}) as outside:
        tick = next_tick(pace.now(), poll_s)
        while pace.wait_until(tick - timedelta(seconds=LEAD_S)):
            ws.advance(pace.now())
            _keep_all(ws, cities, readings.at(tick), pace, told)
            outside.tick(pace.now())
            if not _jobs(ws, cities, readings, pace, tick, told):
                break
            following = next_tick(max(pace.now(), tick), poll_s)
            skipped = (following - tick) // timedelta(seconds=poll_s) - 1
            for lived in told.values():
                lived.skipped += skipped
            tick = following
        _keep_all(ws, cities, readings.rest(), pace, told)
    return list(told.values())


def next_tick(now: datetime, poll_s: int) -> datetime:
    """The end of the first interval whose poll can still be made."""
    return from_seconds((to_seconds(now) + LEAD_S) // poll_s * poll_s + poll_s)


def _keep_all(
    ws: Workspace,
    cities: Sequence[City],
    said: Sequence[Said],
    pace: Pace,
    told: Mapping[str, Lived],
) -> None:
    named = {city.name: city for city in cities}
    for one in said:
        if one.reading.failure and not pace.wait_until(pace.now()):
            continue  # cut short by the stop, not by the feed
        _keep(ws, named[one.city], one.reading, one.tick, told[one.city])


def _keep(ws: Workspace, city: City, reading: Reading, tick: datetime, lived: Lived) -> None:
    lived.polls += 1
    try:
        kept = ingest.keep(ws, city, reading, tick)
    except (BikeshareError, OSError, sqlite3.Error) as error:  # a full disk, for one
        log.error("poll of %s at %s could not be stored: %s", city.name, tick, error)
        kept = ingest.Polled(at=tick, failure=f"not stored: {type(error).__name__}")
    except Exception as error:
        log.exception("poll of %s at %s failed in a way that nobody foresaw", city.name, tick)
        kept = ingest.Polled(at=tick, failure=f"not stored: {type(error).__name__}")
    lived.rows += kept.rows
    lived.refused += kept.refused
    lived.repeated += kept.repeated
    lived.unchanged += kept.unchanged
    if kept.failure:
        lived.lose(kept.failure)


def _jobs(
    ws: Workspace,
    cities: Sequence[City],
    readings: Readings,
    pace: Pace,
    tick: datetime,
    told: Mapping[str, Lived],
) -> bool:
    """What else is due at this tick; False when asked to stop meanwhile."""
    at = to_seconds(tick)
    if at % _HOUR_S == 0:
        # Who does not answer one question is not asked two.
        for city in (city for city in cities if not readings.owes(city.name)):
            _information(ws, city, readings.feeds[city.name], tick, told[city.name])
    if at % CADENCE_S:
        return True
    if not pace.wait_until(tick):
        return False
    ws.advance(max(pace.now(), tick))
    for city in cities:
        lived = told[city.name]
        owed = lived.closed != tick.date() and at % DAY_S >= _AFTER_MIDNIGHT_S
        if owed:
            _try(lived, "features", lambda city=city: features.build(ws, city))  # type: ignore[misc]
        _batch(ws, city, tick, lived)
        if owed:
            _try(lived, "compact", lambda city=city: _compact(ws, city))  # type: ignore[misc]
            lived.closed = tick.date()
    return True


def _compact(ws: Workspace, city: City) -> None:
    compact.compact(ws, city, window=compact.recent(ws))


def _closed(ws: Workspace, city: City) -> date | None:
    """The day before which nothing is owed; a city with features owes those of an outage."""
    return None if ws.lake.days(PROFILES, city=city.name) else ws.now.astimezone(UTC).date()


def _batch(ws: Workspace, city: City, tick: datetime, lived: Lived) -> None:
    """A batch, its judgement, and what production does about it; each fails for itself."""
    _try(lived, "batch", lambda: _predict(ws, city, tick, lived))
    if lived.only_collected:
        return
    _try(lived, "monitor", lambda: monitor.monitor(ws, city, at=tick))
    _try(lived, "watch", lambda: _watch(ws, city))


def _predict(ws: Workspace, city: City, tick: datetime, lived: Lived) -> None:
    """A batch; a city that never had an endpoint is only being collected, and nobody is asked."""
    before = lived.only_collected
    lived.only_collected = not any(_ever_served(ws, city, stage) for stage in _STAGES)
    if lived.only_collected:
        if not before:
            log.info("%s is only collected: nothing was deployed for it yet", city.name)
        return
    done = infer.infer(ws, city, at=tick)
    lived.batches += all(batch.failure is None for batch in done)


def _watch(ws: Workspace, city: City) -> None:
    """Alarms, a canary's next share, automatic rollbacks, once there is a production."""
    if _ever_served(ws, city, "prod"):
        seen = watch.watch(ws, city)
        if seen.stuck:
            raise Refused(seen.stuck)


def _ever_served(ws: Workspace, city: City, stage: Stage) -> bool:
    """Whether the audit knows of anything on the city's endpoint, be it there now or not."""
    return bool(history.reigns(records.audited(ws), ws.settings.endpoint(stage, city.name)))


def _information(ws: Workspace, city: City, feed: Feed, at: datetime, lived: Lived) -> None:
    _try(lived, "stations", lambda: ingest.poll_information(ws, city, feed, at))


def _try(lived: Lived, name: str, job: Callable[[], object]) -> None:
    """Run a job; whatever it fails with, foreseen or not, must not end the polls."""
    try:
        job()
    except BikeshareError as error:
        lived.failed_jobs += 1
        log.warning("%s of %s: %s", name, lived.city, error)
    except Exception:
        lived.failed_jobs += 1
        log.exception("%s of %s failed in a way that nobody foresaw", name, lived.city)
