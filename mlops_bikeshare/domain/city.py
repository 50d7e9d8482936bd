"""A city: one table in bikeshare.toml. Names are lower-case letters, digits and hyphens."""

from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class City:
    """Where a feed is and which calendar its riders live by.

    `country` and `subdivision` are ISO 3166 codes (holidays), `lat` and `lon` degrees (WGS 84).
    """

    name: str
    timezone: str
    country: str
    subdivision: str | None = None
    gbfs_url: str | None = None
    lat: float | None = None
    lon: float | None = None

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone, from the IANA database."""
        return ZoneInfo(self.timezone)

    @property
    def registered_model(self) -> str:
        """Name of the city's model in the registry."""
        return f"bikeshare-{self.name}"
