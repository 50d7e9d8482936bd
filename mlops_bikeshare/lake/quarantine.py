"""Documents that could not be used, kept whole: evidence for whoever writes to the operator.

They lie at `quarantine/documents/city=…/date=…/<name>.gz`, exactly as they came, gzipped.
"""

import gzip
from datetime import datetime

from mlops_bikeshare.lake.store import Store

FOLDER = "quarantine/documents"


def keep_document(store: Store, body: bytes, *, city: str, at: datetime, name: str) -> str:
    """Store a document; its key. The one of a name that is there already stays."""
    key = f"{FOLDER}/city={city}/date={at:%Y-%m-%d}/{name}.gz"
    store.create(key, gzip.compress(body, mtime=0))
    return key
