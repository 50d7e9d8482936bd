"""Data capture: requests and answers as JSON lines, laid out as SageMaker lays them out.

Input    an endpoint config's DataCaptureConfig; what a variant was asked and answered.
Output   lines in `<DestinationS3Uri>/<endpoint>/<variant>/<yyyy>/<mm>/<dd>/<hh>/<file>.jsonl`, a
         new file every hour. Bodies are base64 unless CaptureContentTypeHeader names their type.
         Once an hour the days older than `KEEP` go, of all endpoints below the destination: on AWS
         that is the lifecycle rule of the bucket.
Raises   ApiError for a config that cannot be followed. Keeping never raises: a full disk must not
         cost an answer, so it is logged and the line is lost.
Source   SageMaker developer guide, "Data capture".
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import uuid
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from mlops_bikeshare.serving.host.faults import ApiError, invalid
from mlops_bikeshare.serving.host.objects import ObjectStore

_LOG = logging.getLogger(__name__)
KEEP = timedelta(days=30)
# <endpoint>/<variant>/<yyyy>/<mm>/<dd>
_DAYS = "*/*/[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"
_MODES = {"Input": ("endpointInput", "INPUT"), "Output": ("endpointOutput", "OUTPUT")}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came and its answer as it went."""

    endpoint: str
    variant: str
    at: datetime
    attributes: str
    bodies: Mapping[str, tuple[str, bytes]]


class Capture:
    """Keeps the share of requests that a config asks for, evenly spread."""

    def __init__(self, config: Mapping[str, Any], store: ObjectStore) -> None:
        self._share = float(config["InitialSamplingPercentage"])
        self._url = urlparse(config["DestinationS3Uri"])
        self._modes = [option["CaptureMode"] for option in config["CaptureOptions"]]
        types = config.get("CaptureContentTypeHeader") or {}
        self._encodings = {
            **dict.fromkeys(types.get("CsvContentTypes") or (), "CSV"),
            **dict.fromkeys(types.get("JsonContentTypes") or (), "JSON"),
        }
        self._store = store
        self._credit = 0.0
        self._names: dict[str, str] = {}
        self._hour = ""
        self._writing = asyncio.Lock()

    async def keep(self, seen: Seen) -> None:
        """Write this one, if it is its turn."""
        self._credit += self._share
        if self._credit < 100:  # noqa: PLR2004 - per cent
            return
        self._credit -= 100
        line = json.dumps(self._line(seen)) + "\n"
        async with self._writing:
            try:
                path = self._file(seen)
                if self._hour != f"{seen.at:%Y/%m/%d/%H}":
                    self._hour = f"{seen.at:%Y/%m/%d/%H}"
                    await asyncio.to_thread(_forget, path.parents[6], seen.at - KEEP)
                await asyncio.to_thread(_append, path, line)
            except (OSError, ApiError) as error:
                _LOG.error("endpoint %s: capture lost: %s", seen.endpoint, type(error).__name__)

    def _file(self, seen: Seen) -> Path:
        hour = f"{seen.endpoint}/{seen.variant}/{seen.at:%Y/%m/%d/%H}"
        if hour not in self._names:
            self._names = {k: v for k, v in self._names.items() if k[-13:] == hour[-13:]}
            self._names[hour] = f"{seen.at:%M-%S}-000-{uuid.uuid4()}.jsonl"
        prefix = self._url.path.strip("/")
        key = "/".join(part for part in (prefix, hour, self._names[hour]) if part)
        return self._store.path(self._url.netloc, key)

    def _line(self, seen: Seen) -> dict[str, Any]:
        data = {}
        for mode in self._modes:
            member, word = _MODES[mode]
            kind, body = seen.bodies[mode]
            encoding = self._encodings.get(kind, "BASE64")
            text = (
                b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
            )
            data[member] = {
                "observedContentType": kind,
                "mode": word,
                "data": text,
                "encoding": encoding,
            }
        about: dict[str, Any] = {"eventId": str(uuid.uuid4())}
        if seen.attributes:
            about["customAttributes"] = [seen.attributes]
        about["inferenceTime"] = f"{seen.at:%Y-%m-%dT%H:%M:%SZ}"
        return {"captureData": data, "eventMetadata": about, "eventVersion": "0"}


def checked(config: Mapping[str, Any] | None, store: ObjectStore) -> Capture | None:
    """What a DataCaptureConfig asks for; None when capture is off."""
    if not config or not config.get("EnableCapture"):
        return None
    modes = [option.get("CaptureMode") for option in config.get("CaptureOptions") or ()]
    if not modes or not set(modes) <= set(_MODES):
        raise invalid("DataCaptureConfig needs CaptureOptions with CaptureMode Input or Output")
    share = config.get("InitialSamplingPercentage")
    if not isinstance(share, int) or not 0 <= share <= 100:  # noqa: PLR2004 - per cent
        raise invalid("DataCaptureConfig needs an InitialSamplingPercentage from 0 to 100")
    url = urlparse(str(config.get("DestinationS3Uri")))
    if url.scheme != "s3":
        raise invalid("DataCaptureConfig needs a DestinationS3Uri such as s3://bucket/prefix")
    store.path(url.netloc, (url.path.strip("/") or "capture"))
    return Capture(config, store)


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as out:
        before, body = out.seek(0, os.SEEK_END), line.encode()
        try:
            # Unbuffered: the kernel takes what fits, and refuses the rest by name.
            while body:
                body = body[out.write(body) :]
        except OSError:
            out.truncate(before)  # half a line would spoil the next one
            raise


def _forget(destination: Path, before: datetime) -> None:
    """Remove the days that are over by then; what cannot be removed is tried again next hour."""
    last = before.astimezone(UTC).date().isoformat()
    for day in destination.glob(_DAYS):
        if "-".join(day.parts[-3:]) < last:
            shutil.rmtree(day, ignore_errors=True)
            for parent in (day.parent, day.parent.parent):
                with contextlib.suppress(OSError):  # other days are in it
                    parent.rmdir()
