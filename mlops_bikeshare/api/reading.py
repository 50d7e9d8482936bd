"""What the API shows of the lake: the predictions feed, and the drift reports.

Input    a workspace; a city by name, from a request.
Output   a response of the feed with its validator (ETag) and for how long it may be kept; drift
         reports as they were written, the newest first.
Raises   404 where nothing was published; SettingsError for a city that is not in the settings.
Source   RFC 9110, section 13.1.2 (If-None-Match), RFC 9111, section 5.2.2 (max-age).
"""

import json
from datetime import datetime, timedelta
from typing import Any

from fastapi import HTTPException
from fastapi.responses import Response

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows import publish
from mlops_bikeshare.flows.judging.drift_windows import REPORTS
from mlops_bikeshare.flows.publishing import predictions_feed

# A batch takes seconds: who asks at the stroke of ten minutes gets the one before.
LATE_S = 10


def feed(ws: Workspace, city: str, known: str) -> Response:
    """The feed of a city; `known`: the validators that the client has."""
    if city not in ws.settings.cities:
        raise HTTPException(404, "there is no such city")
    body = publish.published(ws, ws.settings.city(city))
    if body is None:
        raise HTTPException(404, f"nothing was published for {city} yet")
    tag = predictions_feed.etag(body)
    headers = {"etag": tag, "cache-control": f"max-age={_for_s(ws, body)}"}
    mine = [part.strip().removeprefix("W/") for part in known.split(",")]
    if tag in mine or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def drift_reports(ws: Workspace, city: City, *, most: int) -> list[Any]:
    """The newest reports, from the last days that have any."""
    store, found = ws.lake.store, []
    for day in reversed(store.folders(REPORTS)):
        keys = [key for key in store.keys(f"{REPORTS}/{day}") if key.endswith(".json")]
        told = [json.loads(store.read(key)) for key in keys]
        mine = [report for report in told if report["city"] == city.name]
        found += sorted(mine, key=_end, reverse=True)
        if len(found) >= most:
            break
    return found[:most]


def _end(report: dict[str, Any]) -> str:
    return str(report["window"]).partition("..")[2]


def _for_s(ws: Workspace, body: bytes) -> int:
    """Seconds until the next batch; a moment when it is late."""
    ws.follow()
    told = json.loads(body)
    due = datetime.fromisoformat(told["last_updated"]) + timedelta(seconds=told["ttl"] + LATE_S)
    return max(LATE_S, round((due - ws.now).total_seconds()))
