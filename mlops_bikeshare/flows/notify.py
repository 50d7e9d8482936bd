"""Notify: tell every channel what it has not been told, and remember that it was.

Input    a workspace, a city, the states of its alarms (None: only news of the audit).
Output   Told for each channel. What was told is kept in `notified.json` of the workspace.

Never in the way: a channel is given `notify.timeout_s`, one that fails is logged and counted
(`NotificationFailures`) and is due again the next time; whatever goes wrong is logged, not raised.
One process tells at a time: that of another city, or of another job, is waited for a little; one
whose lock may be another's by now tells no further.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.flows import records
from mlops_bikeshare.flows.process import remembered
from mlops_bikeshare.flows.releasing import alarms
from mlops_bikeshare.monitoring import notify
from mlops_bikeshare.monitoring.alarms import Event, Seen
from mlops_bikeshare.monitoring.metrics import point
from mlops_bikeshare.monitoring.notify import Bounded, Message, Notice

log = logging.getLogger(__name__)
FILE, LOCK = "notified.json", "notified.lock"
# A channel that is new, or was down for long, is not told old stories.
NEWS = timedelta(hours=24)
MOST_NEWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of one channel; `failure` None: it took everything that was due."""

    channel: str
    notices: int
    failure: str | None


def tell(ws: Workspace, city: City, seen: Sequence[Seen] = ()) -> list[Told]:
    """Tell what is due; never raises."""
    try:
        with remembered.waited_for(ws, LOCK) as free:
            if free:
                return _tell(ws, city, seen)
        log.warning("notifications of %s: another process tells; due the next time", city.name)
    except (BikeshareError, OSError, ValueError) as error:
        log.error("notifications of %s: %s", city.name, error)
    except Exception:
        log.exception("notifications of %s failed in a way that nobody foresaw", city.name)
    return []


def test(ws: Workspace, city: City) -> list[Told]:
    """Send a test message to every channel, quiet hours or not; nothing is remembered."""
    name = ws.settings.workspace
    text = f"test of `bikeshare notify test`, workspace {name}, {ws.now:%Y-%m-%d %H:%M} UTC"
    notice = Notice(kind="test", name="notifications", severity="info", text=text)
    said = notify.message([notice], city=city.name)
    return [
        Told(channel=channel.name, notices=1, failure=channel.send(said)) for channel in ws.channels
    ]


def summary(told: Sequence[Told]) -> str:
    """A line per channel."""
    return "\n".join(f"{one.channel}: {one.failure or 'taken'}" for one in told)


def _tell(ws: Workspace, city: City, seen: Sequence[Seen]) -> list[Told]:
    hours = ws.settings.notify
    quiet = notify.in_quiet_hours(ws.now, city.zone, start=hours.quiet_from, end=hours.quiet_to)
    news = {} if quiet else _readable_news(ws, city)
    before = remembered.read(ws, FILE)
    kept, done = dict(before), []
    for channel in ws.channels:
        memory = before.get(channel.key, {})
        notices = notify.due(seen, memory.get("alarms", {}), quiet=quiet)
        fresh = {key: notice for key, notice in news.items() if key not in memory.get("news", ())}
        if not notices and not fresh:
            continue
        ws.state.check_alone(LOCK)
        failure = _send(channel, notify.message([*notices, *fresh.values()], city=city.name))
        done.append(Told(channel=channel.name, notices=len(notices) + len(fresh), failure=failure))
        if failure is None:
            kept[channel.key] = {
                "alarms": notify.after(memory.get("alarms", {}), notices, at=ws.now),
                "news": [*memory.get("news", ()), *fresh][-MOST_NEWS:],
            }
    if kept != before:
        # Another process may tell by now: what it remembers must not be forgotten for this.
        ws.state.check_alone(LOCK)
        remembered.write(ws, FILE, kept)
    _count(ws, city, sum(one.failure is not None for one in done))
    return done


def _send(channel: Bounded, said: Message) -> str | None:
    failure = channel.send(said)
    if failure is not None:
        log.error("channel %s was not told %r: %s", channel.name, said.title, failure)
    return failure


def _readable_news(ws: Workspace, city: City) -> dict[str, Notice]:
    """News; none from an audit or a catalogue that cannot be read, which keeps no alarm back."""
    try:
        return dict(_news(ws, city))
    except (BikeshareError, OSError, ValueError) as error:
        log.error("news of %s: %s", city.name, error)
        return {}


def _news(ws: Workspace, city: City) -> Iterator[tuple[str, Notice]]:
    """The audit's entries of the last day that are an event, by their digest."""
    events = {kind: event for event in alarms.load(ws.settings).events for kind in event.kinds}
    for entry in records.audited(ws):
        event = events.get(entry["kind"])
        facts = entry["facts"]
        recent = ws.now - datetime.fromisoformat(entry["at"]) <= NEWS
        if event is not None and recent and facts.get("city", city.name) == city.name:
            yield entry["digest"][:16], _notice(event, entry, facts)


def _notice(event: Event, entry: Mapping[str, Any], facts: Mapping[str, Any]) -> Notice:
    endpoint, before, version = (facts.get(k) for k in ("endpoint", "from_version", "version"))
    before = None if entry["kind"] == "deploy" else before  # the champion, which stays where it is
    moved = [f"version {before} → {version}" if before else f"version {version}"] if version else []
    what = ", ".join([*([endpoint] if endpoint else []), *moved, f"by {entry['who']}"])
    text = f"{event.name}: {what}, {entry['at']}: {entry['why']}"
    name = "-".join([*([endpoint] if endpoint else []), event.name, "info"])
    return Notice(kind="news", name=name, severity="info", text=text)


def _count(ws: Workspace, city: City, failures: int) -> None:
    if failures:
        of = {"City": city.name}
        ws.metrics.put([point("NotificationFailures", failures, at=ws.now, dimensions=of)])
