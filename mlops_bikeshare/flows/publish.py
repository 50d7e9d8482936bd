"""Publish: what production said last, as one document per city in the lake.

Input    a decision time whose batch is in `inference`.
Output   `published/predictions/city=<city>/predictions.json`, replaced whole: a reader sees one
         batch or the next, never half of one, and an older batch never takes a newer one's place:
         what is there is looked at and replaced under a lock.
Raises   LakeError when the lake cannot be written, or another process keeps the lock.

What was published is made from the rows in the lake, so a batch that a kill kept from being
published is published by the next run, in the same bytes.
"""

import json
import logging
from datetime import datetime, timedelta

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, LakeError
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows.judging import beats
from mlops_bikeshare.flows.process import remembered
from mlops_bikeshare.flows.publishing import predictions_feed
from mlops_bikeshare.lake.store import ObjectGoneError

log = logging.getLogger(__name__)


def key_of(city: City) -> str:
    """Where a city's feed lies in the lake."""
    return f"published/predictions/city={city.name}/predictions.json"


def published(ws: Workspace, city: City) -> bytes | None:
    """The feed as it is now; None before the first batch of production."""
    try:
        return ws.lake.store.read(key_of(city))
    except ObjectGoneError:
        return None


def publish(ws: Workspace, city: City, dt: datetime) -> bool:
    """Publish production's batch of dt; whether there was anything new to publish."""
    endpoint = ws.settings.endpoint("prod", city.name)
    at, name = Window(dt, dt + timedelta(seconds=1)), beats.object_name(endpoint, dt)
    rows = ws.lake.read(INFERENCE, city=city.name, window=at, name_prefix=name)
    if rows.empty:
        return False
    body = predictions_feed.document(city, rows)
    lock = f"publish-{city.name}.lock"
    with remembered.waited_for(ws, lock) as free:
        if not free:
            msg = f"the predictions of {city.name} are being published by another process"
            raise LakeError(f"{msg}; the next batch publishes its own")
        now = published(ws, city)
        if now is not None and (now == body or _is_newer(now, than=dt)):
            return False
        ws.state.check_alone(lock)
        ws.lake.store.replace(key_of(city), body)
    return True


def try_to_publish(ws: Workspace, city: City, dt: datetime) -> None:
    """The same for a batch, which does not fail because others could not be told of it."""
    try:
        publish(ws, city, dt)
    except BikeshareError as error:
        log.error("the predictions of %s at %s were not published: %s", city.name, dt, error)


def _is_newer(body: bytes, *, than: datetime) -> bool:
    """Whether it is of a later batch; what cannot be read is of none, and is replaced."""
    try:
        return datetime.fromisoformat(json.loads(body)["last_updated"]) > than
    except (ValueError, KeyError, TypeError):
        return False
