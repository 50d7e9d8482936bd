"""Rows to GBFS documents, as an operator would publish them: the way back of `rows`.

Input    frames of STATION_STATUS_RAW and STATION_INFORMATION_RAW, a version, the document's time.
Output   documents as plain values, ready for JSON.
Raises   InputError for a version that is not served.
Source   GBFS v2.3 and v3.0. What a row does not know is left out of its station.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from mlops_bikeshare.domain.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Version = Literal["2.3", "3.0"]
VERSIONS: tuple[str, ...] = get_args(Version)
_AS_VEHICLES = {
    "num_bikes_available": "num_vehicles_available",
    "num_bikes_disabled": "num_vehicles_disabled",
}
_STATUS = (
    "num_bikes_available",
    "num_bikes_disabled",
    "num_docks_available",
    "num_docks_disabled",
    "is_installed",
    "is_renting",
    "is_returning",
)
LANGUAGE = "en"


def checked(version: str) -> Version:
    """The version, if it is served."""
    for known in get_args(Version):
        if version == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"GBFS {version!r} is not served; choose one of {', '.join(VERSIONS)}")


def discovery(urls: dict[str, str], *, at: datetime, version: Version, ttl_s: int) -> Any:
    """gbfs.json."""
    feeds = {"feeds": [{"name": name, "url": url} for name, url in urls.items()]}
    data = {LANGUAGE: feeds} if version == "2.3" else feeds
    return _document(data, at=at, version=version, ttl_s=ttl_s)


def system(*, name: str, timezone: str, at: datetime, version: Version, ttl_s: int) -> Any:
    """system_information.json."""
    told: dict[str, Any] = {"system_id": name, "timezone": timezone}
    if version == "2.3":
        told |= {"language": LANGUAGE, "name": name}
    else:
        told |= {"languages": [LANGUAGE], "name": _localised(name)}
    return _document(told, at=at, version=version, ttl_s=ttl_s)


def status(rows: "pd.DataFrame", *, at: datetime, version: Version, ttl_s: int) -> Any:
    """station_status.json."""
    names = ["station_id", *_STATUS, "last_reported"]
    stations = [_status(row, version) for row in _records(rows[names])]
    return _document({"stations": stations}, at=at, version=version, ttl_s=ttl_s)


def information(rows: "pd.DataFrame", *, at: datetime, version: Version, ttl_s: int) -> Any:
    """station_information.json."""
    stations = _records(rows[["station_id", "name", "lat", "lon", "capacity", "region_id"]])
    if version != "2.3":
        for station in stations:
            if "name" in station:
                station["name"] = _localised(station["name"])
    return _document({"stations": stations}, at=at, version=version, ttl_s=ttl_s)


def _document(data: Any, *, at: datetime, version: Version, ttl_s: int) -> dict[str, Any]:
    return {"last_updated": _time(at, version), "ttl": ttl_s, "version": version, "data": data}


def _records(rows: "pd.DataFrame") -> list[dict[str, Any]]:
    """One object per row, without what is not known."""
    columns = rows.astype("object").where(rows.notna(), None)
    return [
        {str(name): value for name, value in row.items() if value is not None}
        for row in columns.to_dict("records")
    ]


def _status(row: dict[str, Any], version: Version) -> dict[str, Any]:
    if "last_reported" in row:
        row["last_reported"] = _time(row["last_reported"], version)
    if version == "2.3":
        return row
    return {_AS_VEHICLES.get(name, name): value for name, value in row.items()}


def _time(at: datetime, version: Version) -> int | str:
    if version == "2.3":
        return int(at.timestamp())
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _localised(text: str) -> list[dict[str, str]]:
    return [{"text": text, "language": LANGUAGE}]
