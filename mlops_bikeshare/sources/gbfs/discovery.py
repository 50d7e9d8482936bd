"""The auto-discovery document: which feeds there are, and where.

Input    a `Document` of gbfs.json, of any version; the language wanted, if any.
Output   `Discovered`: the language taken and the address of each feed.
Raises   SourceError when it lists no feed, or `stations_of` finds no station feeds.
Source   GBFS v1.0 to v2.3: data.<language>.feeds; v3.0 and later: data.feeds. The shape decides,
         because feeds name versions that they do not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.sources.gbfs.documents import Document

STATUS, INFORMATION = "station_status", "station_information"
VEHICLE_TYPES, SYSTEM = "vehicle_types", "system_information"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """The feeds of a system; `language` is None where names carry their languages (3.x)."""

    version: str
    language: str | None
    ttl_s: int
    urls: Mapping[str, str]

    def url(self, feed: str) -> str:
        """The address of a feed; SourceError, naming those there are, if it is not listed."""
        if feed not in self.urls:
            there = ", ".join(sorted(self.urls))
            why = "a system without stations cannot be predicted" if feed == STATUS else ""
            raise SourceError(f"the feed lists no {feed}; it lists {there}{why and '; ' + why}")
        return self.urls[feed]


def discover(document: Document, *, base: str, language: str | None = None) -> Discovered:
    """The feeds listed, in `language` if it is there, else in the first language."""
    chosen, listed = _listed(document.data, language)
    found = {}
    for entry in listed:
        name, url = (entry.get("name"), entry.get("url")) if isinstance(entry, dict) else ("", "")
        if isinstance(name, str) and isinstance(url, str) and name and url:
            found[name] = urljoin(base, url)
    if not found:
        raise SourceError("the auto-discovery document lists no feed")
    return Discovered(version=document.version, language=chosen, ttl_s=document.ttl_s, urls=found)


def _listed(data: Mapping[str, Any], language: str | None) -> tuple[str | None, list[Any]]:
    feeds = data.get("feeds")
    if isinstance(feeds, list):
        return language, feeds
    spoken = {
        name: inner["feeds"]
        for name, inner in data.items()
        if isinstance(inner, dict) and isinstance(inner.get("feeds"), list)
    }
    if not spoken:
        raise SourceError("expected data.feeds or data.<language>.feeds; this is no gbfs.json")
    chosen = language if language in spoken else next(iter(spoken))
    return chosen, spoken[chosen]
