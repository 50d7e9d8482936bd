"""The predictions of one batch as a feed for rider apps, in the manner of GBFS.

Input    rows of `inference` of one city, endpoint and decision time dt.
Output   JSON bytes: `last_updated` is dt, `ttl` the seconds until the next batch, `version` that of
         the schema beside this module. A chance that is not known is null. The same rows give the
         same bytes, so `etag` stands for the batch.
Source   GBFS v3.0, "Output format" (last_updated, ttl, version, data); station_id as in GBFS.
"""

import hashlib
import json
from importlib.resources import files
from typing import Any

import numpy as np
import orjson
import pandas as pd

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS
from mlops_bikeshare.domain.windows import CADENCE_S

VERSION = "1.0"
DIGITS = 4
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def document(city: City, rows: pd.DataFrame) -> bytes:
    """The feed of a batch."""
    who = rows.drop_duplicates("station_id").set_index("station_id").sort_index()
    every = pd.MultiIndex.from_product([who.index, HORIZONS_MIN])
    known = rows.set_index(["station_id", "horizon_min"])
    chances = {
        name: np.round(known[name].reindex(every).to_numpy(float), DIGITS).reshape(len(who), -1)
        for name in (target.probability for target in TARGETS)
    }
    stations = [
        {
            "station_id": station,
            "source": source,
            "model_version": None if pd.isna(version) else version,
            **{name: values[i] for name, values in chances.items()},
        }
        for i, (station, source, version) in enumerate(
            zip(who.index, who["source"], who["model_version"], strict=True)
        )
    ]
    found = {
        "last_updated": rows["dt"].iloc[0].strftime(_TIME),
        "ttl": CADENCE_S,
        "version": VERSION,
        "data": {
            "city": city.name,
            "stockout": {"threshold": city.label.threshold, "mode": city.label.mode},
            "horizons_min": list(HORIZONS_MIN),
            "predictions": stations,
        },
    }
    return orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY)


def etag(body: bytes) -> str:
    """A strong validator of the bytes, quoted as HTTP wants it (RFC 9110, section 8.8.3)."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def schema() -> dict[str, Any]:
    """The JSON Schema of the feed."""
    text = files(__package__).joinpath("predictions_feed.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
