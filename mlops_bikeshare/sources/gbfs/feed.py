"""A live GBFS system as a `Feed`: found by its gbfs.json, asked no more often than it wishes.

Input    the address of gbfs.json, a client, a clock (times of reading are read off it).
Output   `Reading`s; whatever goes wrong is a reading with a failure, and with the document as
         evidence if there was one. Nothing is raised.

A document is asked for again when its ttl is over, with the validators of the last good one: an
unchanged document is read again, at the time of asking. The ttl of station_status counts only up
to `STATUS_TTL_S`: Vélib' says an hour and changes every minute. Where discovery fails, the
addresses found before hold; where a document cannot be had, it may have moved: its address is
looked up again, whatever the ttl of gbfs.json, though not at every poll.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.clock import Clock
from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.sources.feed import Reading
from mlops_bikeshare.sources.gbfs.client import FeedClient
from mlops_bikeshare.sources.gbfs.discovery import (
    INFORMATION,
    STATUS,
    SYSTEM,
    VEHICLE_TYPES,
    Discovered,
    discover,
)
from mlops_bikeshare.sources.gbfs.documents import Document, parse
from mlops_bikeshare.sources.gbfs.ebikes import electric_types
from mlops_bikeshare.sources.gbfs.rows import Rows, information_rows, status_rows

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)
STATUS_TTL_S = 240
OTHER_TTL_S = 86_400
# Lists of stations and of feeds that give no ttl are not asked for at every poll.
_OTHER_LEAST_S = 900
# An answer a moment before its time beats one a whole poll late.
_EARLY = timedelta(seconds=5)
_ALWAYS = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Kept:
    """The last good reading of a feed, how long it holds, and how to ask for news."""

    reading: Reading
    until: datetime
    validators: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Found:
    """The addresses, when they were last asked for, and how long they hold."""

    feeds: Discovered
    asked: datetime
    until: datetime


class GbfsFeed:
    """One system."""

    def __init__(
        self, url: str, *, client: FeedClient, clock: Clock, language: str | None = None
    ) -> None:
        self.url = url
        self._client, self._clock, self._language = client, clock, language
        self._found: _Found | None = None
        self._electric: tuple[frozenset[str] | None, datetime] | None = None
        self._kept: dict[str, _Kept] = {}
        self._unlimited: tuple[frozenset[str], datetime] | None = None

    def read_status(self, at: datetime) -> Reading:  # noqa: ARG002 - the clock says when
        """The status rows now."""
        return self._read(STATUS)

    def read_information(self, at: datetime) -> Reading:  # noqa: ARG002 - the clock says when
        """The station list now."""
        return self._read(INFORMATION)

    def system(self) -> dict[str, object]:
        """The data of system_information: name, timezone, ...; SourceError if it cannot be read."""
        return self._document(self.discovered().url(SYSTEM)).data

    def discovered(self) -> Discovered:
        """The feeds of the system; SourceError when they were never found."""
        now, before = self._clock.now(), self._found
        if before is None or now >= before.until:
            try:
                found = discover(self._document(self.url), base=self.url, language=self._language)
            except SourceError as error:
                if before is None:
                    raise
                log.warning("discovery failed, the addresses found before are used: %s", error)
                found = before.feeds
            self._found = before = _Found(found, now, now + _held(found.ttl_s))
        return before.feeds

    def _doubt(self) -> None:
        """A document could not be had where it should be: look soon where it is now."""
        if self._found is not None:
            self._found.until = min(self._found.until, self._found.asked + _held(0))

    def _document(self, url: str) -> Document:
        return parse(self._client.get(url).body or b"")

    def _read(self, feed: str) -> Reading:
        kept, body = self._kept.get(feed), None
        if kept is not None and self._clock.now() < kept.until - _EARLY:
            return self._again(kept)
        try:
            url = self.discovered().url(feed)
            answer = self._client.get(url, kept.validators if kept else None)
            body = answer.body
            if body is None and kept is not None:
                return self._again(kept)
            new = self._kept_of(feed, parse(body or b""), kept)
        except SourceError as error:
            self._doubt()
            return Reading(fetched_at=self._clock.now(), failure=f"{feed}: {error}", evidence=body)
        new.validators = answer.validators
        self._kept[feed] = new
        return new.reading

    def _again(self, kept: _Kept) -> Reading:
        """The document read before, which is still the newest, as read now."""
        now = self._clock.now()
        rows = kept.reading.rows
        if rows is not None:
            rows = _fetched_at(rows, now)
        return replace(kept.reading, fetched_at=now, rows=rows, refused=None, unchanged=True)

    def _kept_of(self, feed: str, document: Document, before: _Kept | None) -> _Kept:
        now = self._clock.now()
        told = document.last_updated and min(document.last_updated, now)
        rows = self._rows(feed, document, now, told)
        if not rows.arrow.num_rows:
            first = rows.refused["reason"].iloc[0] if rows.refused is not None else "none listed"
            raise SourceError(f"none of {len(document.stations)} stations can be used: {first}")
        observed = rows.arrow["observed_at"][0].as_py() if feed == STATUS else told
        reading = Reading(
            fetched_at=now,
            rows=rows.arrow,
            refused=rows.refused,
            observed_at=observed,
            repeated=rows.repeated,
            unchanged=_same_time(before, observed),
        )
        ttl = timedelta(seconds=min(document.ttl_s, STATUS_TTL_S))
        return _Kept(reading, now + (ttl if feed == STATUS else _held(document.ttl_s)))

    def _rows(self, feed: str, document: Document, now: datetime, told: datetime | None) -> Rows:
        if feed == INFORMATION:
            language = self.discovered().language
            rows = information_rows(document.stations, fetched_at=now, language=language)
            self._unlimited = rows.unlimited, _ALWAYS
            return rows
        return status_rows(
            document.stations,
            fetched_at=now,
            observed_at=told,
            electric=self._electric_types(now),
            unlimited=self._unlimited_stations(now),
        )

    def _unlimited_stations(self, now: datetime) -> frozenset[str]:
        """Those that take any number of bikes; a process of a single poll has no list yet."""
        if self._unlimited is None or now >= self._unlimited[1]:
            try:
                listed = self._document(self.discovered().url(INFORMATION)).stations
                found = information_rows(listed, fetched_at=now).unlimited
                self._unlimited = found, _ALWAYS
            except SourceError as error:
                log.warning("virtual stations are not told apart for now: %s", error)
                self._unlimited = frozenset(), now + _held(0)
        return self._unlimited[0]

    def _electric_types(self, now: datetime) -> frozenset[str] | None:
        """Which vehicle types are electric; None, and asked again later, if nobody says."""
        if VEHICLE_TYPES not in self.discovered().urls:
            return None
        if self._electric is None or now >= self._electric[1]:
            try:
                document = self._document(self.discovered().url(VEHICLE_TYPES))
                self._electric = electric_types(document.data), now + _held(document.ttl_s)
            except SourceError as error:
                log.warning("e-bikes are not counted apart for now: %s", error)
                self._electric = None, now + _held(0)
        return self._electric[0]


def _same_time(before: _Kept | None, observed: datetime | None) -> bool:
    """Whether a feed repeats a document: frozen, or asked before it had news."""
    return before is not None and observed is not None and before.reading.observed_at == observed


def _held(ttl_s: int) -> timedelta:
    return timedelta(seconds=min(max(ttl_s, _OTHER_LEAST_S), OTHER_TTL_S))


def _fetched_at(rows: "pa.Table", at: datetime) -> "pa.Table":
    """The rows as read at `at`."""
    import pyarrow as pa

    place = rows.schema.get_field_index("fetched_at")
    field = rows.schema.field(place)
    return rows.set_column(place, field, pa.repeat(pa.scalar(at, field.type), rows.num_rows))
