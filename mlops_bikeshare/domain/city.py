"""A city: one table in bikeshare.toml. Names are lower-case letters, digits and hyphens."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated
from zoneinfo import ZoneInfo

from mlops_bikeshare.domain.bounds import COUNTRY, Between
from mlops_bikeshare.domain.label import USUAL, Label


@dataclass(frozen=True)
class City:
    """Where a feed is, which calendar its riders live by, and what counts as out there.

    `label` is no key of the city's table: it is `[labels]`, one definition for all cities.
    """

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
    label: Label = USUAL

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone, from the IANA database."""
        return ZoneInfo(self.timezone)

    @property
    def registered_model(self) -> str:
        """Name of the city's model in the registry."""
        return f"bikeshare-{self.name}"
