"""Notifications: what is due to be told, and a channel that takes it in bounded time.

Input    the states of alarms, what a channel was told before (alarm → when), news of the audit.
Output   Notices and one Message of them for each channel; `Bounded.send` answers why a channel did
         not take it, None when it did.

A channel remembers what it was told, not what was sent: an alarm it was told of and that is OK now
is a recovery; one that fires and it was not told of is due. So a channel that was down, or quiet
hours, leave nothing out but what was over before anyone could act, and nothing is told twice.
Errors name a channel's scheme only: its address is a secret.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from mlops_bikeshare.monitoring.alarms import Seen, Severity

log = logging.getLogger(__name__)
Kind = Literal["alarm", "recovered", "news", "test"]
RANK: Mapping[Severity, int] = {"info": 0, "warn": 1, "critical": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to be told; `name` is the alarm's or the event's."""

    kind: Kind
    name: str
    severity: Severity
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a channel takes: a title, the severity of its worst notice, a line for each."""

    title: str
    body: str
    severity: Severity


class Channel(Protocol):
    """A way to people."""

    @property
    def name(self) -> str:
        """What may be logged: never an address or a token."""
        ...

    @property
    def key(self) -> str:
        """Under which the workspace remembers what it was told."""
        ...

    def send(self, message: Message) -> str | None:
        """None when it was taken, else why not, in words without secrets."""
        ...


class LogChannel:
    """The log of whoever runs the flow."""

    name = key = "log"

    def send(self, message: Message) -> str | None:
        """Log every line, alarms as warnings."""
        level = logging.INFO if message.severity == "info" else logging.WARNING
        for line in message.body.splitlines():
            log.log(level, "%s", line)
        return None


class Unusable:
    """A channel that could not be made: it fails by itself, and keeps no other from being told."""

    def __init__(self, name: str, why: str) -> None:
        self.name = self.key = name
        self._why = why

    def send(self, message: Message) -> str | None:  # noqa: ARG002 - the channels' shape
        """Why there is none."""
        return self._why


class Bounded:
    """A channel that is given up after `timeout_s`; while it hangs, it is given nothing more."""

    def __init__(self, channel: Channel, *, timeout_s: float) -> None:
        self._channel = channel
        self._timeout_s = timeout_s
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """The channel's."""
        return self._channel.name

    @property
    def key(self) -> str:
        """The channel's."""
        return self._channel.key

    def send(self, message: Message) -> str | None:
        """None when it was taken in time, else why not."""
        if self._thread is not None and self._thread.is_alive():
            return "still busy with the message before"
        said: list[str | None] = []
        # A daemon: a process that ends does not wait for a channel that hangs.
        self._thread = threading.Thread(
            target=self._send, args=(message, said), name=f"notify {self.name}", daemon=True
        )
        self._thread.start()
        self._thread.join(self._timeout_s)
        return said[0] if said else f"no answer within {self._timeout_s:g} s"

    def _send(self, message: Message, said: list[str | None]) -> None:
        try:
            said.append(self._channel.send(message))
        except Exception as error:  # whatever it is, its text may hold the address
            said.append(type(error).__name__)


def due(seen: Sequence[Seen], told: Mapping[str, str], *, quiet: bool) -> list[Notice]:
    """What a channel has to be told of alarms; in quiet hours only what is critical."""
    found = []
    for alarm in seen:
        if quiet and alarm.severity != "critical":
            continue
        if alarm.state == "ALARM" and alarm.name not in told:
            value = "no data" if alarm.value is None else f"{alarm.value:.4g}"
            text = f"ALARM {alarm.name}: {alarm.meaning} ({value} {alarm.relation}"
            text += f" {alarm.threshold:g}); docs/runbook.md#{alarm.runbook}"
            found.append(_notice("alarm", alarm, text))
        elif alarm.state == "OK" and alarm.name in told:
            text = f"OK {alarm.name}: it fired since {told[alarm.name]}"
            found.append(_notice("recovered", alarm, text))
    return found


def after(told: Mapping[str, str], notices: Sequence[Notice], *, at: datetime) -> dict[str, str]:
    """What the channel has been told of, once these were taken."""
    gone = {notice.name for notice in notices if notice.kind == "recovered"}
    new = {n.name: f"{at:%Y-%m-%d %H:%M} UTC" for n in notices if n.kind == "alarm"}
    return {**{name: since for name, since in told.items() if name not in gone}, **new}


def message(notices: Sequence[Notice], *, city: str) -> Message:
    """One message of several notices, the worst first."""
    ordered = sorted(notices, key=lambda notice: -RANK[notice.severity])
    more = f" and {len(ordered) - 1} more" if len(ordered) > 1 else ""
    words = {"alarm": "ALARM", "recovered": "OK", "news": "news", "test": "test"}
    return Message(
        title=f"bikeshare {city}: {words[ordered[0].kind]} {ordered[0].name}{more}",
        body="\n".join(notice.text for notice in ordered),
        severity=ordered[0].severity,
    )


def in_quiet_hours(at: datetime, zone: ZoneInfo, *, start: str | None, end: str | None) -> bool:
    """Whether it is between `start` and `end` (HH:MM, city time), which may span midnight."""
    if start is None or end is None:
        return False
    first, last = time.fromisoformat(start), time.fromisoformat(end)
    now = at.astimezone(zone).time()
    return first <= now < last if first <= last else now >= first or now < last


def _notice(kind: Kind, alarm: Seen, text: str) -> Notice:
    return Notice(kind=kind, name=alarm.name, severity=alarm.severity, text=text)
