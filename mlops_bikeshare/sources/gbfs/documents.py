"""Bytes of a feed to a GBFS document, or a reason why they are none.

Input    the body of an answer.
Output   `Document`: last_updated (aware UTC, None if the document gives none), ttl in seconds,
         version ("1.0" when it names none, as 1.0 does not), data.
Raises   SourceError with the reason: not JSON, HTML, nested too deep, no object, no data.
Source   GBFS v1.0 to v3.1-RC3, "Output format". Keys that are not in it are ignored, but for
         `lastUpdatedOther`, which Vélib' Métropole publishes instead of last_updated.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.windows import from_seconds
from mlops_bikeshare.sources.gbfs.values import times

_TIME_KEYS = ("last_updated", "lastUpdatedOther")
_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The envelope of a GBFS document."""

    last_updated: datetime | None
    ttl_s: int
    version: str
    data: dict[str, Any]

    @property
    def stations(self) -> list[Any]:
        """The stations of a station_status or station_information; SourceError if it is neither."""
        stations = self.data.get("stations")
        if not isinstance(stations, list):
            found = ", ".join(sorted(map(str, self.data))[:5]) or "nothing"
            raise SourceError(f"expected a list data.stations; data holds {found}")
        if not stations:
            raise SourceError("data.stations is empty: nothing was observed")
        return stations


def parse(body: bytes) -> Document:
    """Read a document."""
    document = _json(body)
    if not isinstance(document, dict):
        raise SourceError(f"expected a JSON object, got {_kind(document)}")
    data = document.get("data")
    if not isinstance(data, dict):
        raise SourceError(f"expected an object `data`, got {_kind(data)}")
    return Document(
        last_updated=_last_updated(document),
        ttl_s=_ttl(document.get("ttl")),
        version=str(document.get("version") or "1.0")[:_SHOWN],
        data=data,
    )


def _json(body: bytes) -> Any:
    if body.lstrip()[:1] == b"<":
        raise SourceError(f"expected JSON, got HTML or XML: {_head(body)}")
    try:
        return orjson.loads(body)
    except ValueError:
        # What orjson will not read may be JSON all the same: half a surrogate pair, a number too
        # long for 64 bits, a byte order mark, another encoding. The slow reader decides and tells.
        return _slowly(body)


def _slowly(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse)
    except ValueError as error:
        raise SourceError(f"not valid JSON ({error}): {_head(body)}") from None
    except RecursionError:
        raise SourceError("JSON is nested too deep for a GBFS document") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _last_updated(document: dict[str, Any]) -> datetime | None:
    for key in _TIME_KEYS:
        at = times([document.get(key)])[0]
        if not np.isnat(at) and at > np.datetime64(0, "ms"):
            return from_seconds(int(at.astype("M8[s]").astype(np.int64)))
    return None


def _ttl(value: object) -> int:
    """Seconds the document stays true; 0, ask again, for what is no such number."""
    return min(value, 1 << 31) if type(value) is int and value > 0 else 0


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "nothing"}
    return names.get(type(value), f"{value!r}"[:_SHOWN])


def _head(body: bytes) -> str:
    text = " ".join(body[:_SHOWN].decode("utf-8", "replace").split())
    return f"it begins {text!r}" if text else "it is empty"
