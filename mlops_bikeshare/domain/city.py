"""A city: one table in bikeshare.toml. Names are lower-case letters, digits and hyphens."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated
from zoneinfo import ZoneInfo

from mlops_bikeshare.domain.bounds import COUNTRY, Between


@dataclass(frozen=True)
class City:
    """Where a feed is and which calendar its riders live by."""

    name: str
    timezone: Annotated[str, "IANA time zone, such as America/New_York"]
    country: Annotated[str, "ISO 3166 code, for holidays", COUNTRY]
    subdivision: Annotated[str | None, "ISO 3166-2 code of the state or province"] = None
    gbfs_url: Annotated[str | None, "address of the feed's gbfs.json; unset: recordings only"] = (
        None
    )
    lat: Annotated[
        float | None, "latitude, degrees (WGS 84), for the weather", Between(-90, 90)
    ] = None
    lon: Annotated[float | None, "longitude, degrees (WGS 84)", Between(-180, 180)] = None

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone, from the IANA database."""
        return ZoneInfo(self.timezone)

    @property
    def registered_model(self) -> str:
        """Name of the city's model in the registry."""
        return f"bikeshare-{self.name}"
