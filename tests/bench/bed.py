"""What the benches stand on: a temporary workspace with two weeks of Boston, made when first used.

The workspace has a home of its own, so neither the checkout's state nor its MLflow store is
touched. `tiled` is a second city in it: Boston six times over, under new station ids.
"""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import STATION_STATUS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import features, ingest, train
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.flows.train import Trained
from mlops_bikeshare.settings import FILE, load
from mlops_bikeshare.training.split import Split
from tests.bench.measure import BenchError

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
END = datetime(2021, 8, 25, tzinfo=UTC)
DAYS, QUICK_DAYS = 14, 7
TRAINING_ROWS = 300_000


@dataclass(frozen=True)
class Bed:
    """The workspace, the rows and the model that benches share."""

    home: Path
    quick: bool

    @cached_property
    def recordings(self) -> Path:
        """The folder of real recordings; BenchError, with the reason, where there is none."""
        folder = Path(os.environ.get("BIKESHARE_RECORDINGS", ROOT.parent / "shared" / "data"))
        if not (folder / "boston" / "station_status.parquet").is_file():
            raise BenchError("no real recordings: set BIKESHARE_RECORDINGS to their folder")
        return folder.absolute()

    @property
    def days(self) -> int:
        """How many days have features."""
        return QUICK_DAYS if self.quick else DAYS

    @property
    def window(self) -> Window:
        """The days that have features."""
        return Window(END - timedelta(days=self.days), END)

    @cached_property
    def city(self) -> City:
        """Boston."""
        return self._empty.settings.city("boston")

    @cached_property
    def tiled(self) -> City:
        """The city of 2,400 stations."""
        return dataclasses.replace(self.city, name="boston-tiled")

    @cached_property
    def ws(self) -> Workspace:
        """The workspace with its days ingested and their features built."""
        ws, first = self._empty, timedelta(days=1)  # the first day only makes profiles
        window = Window(self.window.start - first, self.window.end)
        ingest.import_recording(ws, self.city, self.recordings / "boston", window=window)
        features.build(ws, self.city, window=window)
        return ws

    @cached_property
    def status(self) -> "pd.DataFrame":
        """The curated rows of the days, with the hours before them."""
        before = Window(self.window.start - timedelta(hours=4), self.window.end)
        return self.ws.lake.read(STATION_STATUS, city=self.city.name, window=before)

    @cached_property
    def stations(self) -> "pd.DataFrame":
        """Boston's station list."""
        return features.station_list(self.ws, self.city)

    @cached_property
    def split(self) -> Split:
        """Two days calibrate, the days before them train."""
        calibrate = self.window.end - timedelta(days=2)
        return Split(Window(self.window.start, calibrate), Window(calibrate, self.window.end))

    @cached_property
    def version(self) -> Trained:
        """A registered version, trained on the days."""
        return train.train(self.ws, self.city, self.split)

    @cached_property
    def artifacts(self) -> Path:
        """The files of that version."""
        return judged.artifacts(self.ws, self.city, self.version.version)

    @cached_property
    def _empty(self) -> Workspace:
        flags = {
            "workspace": "bench",
            "default_city": "boston",
            "serving.port": 0,
            "training.max_rows": TRAINING_ROWS,
        }
        return open_workspace(load(self.home, {}, flags), simulated=True)


@contextmanager
def fresh_home() -> Iterator[Path]:
    """An empty home with the checkout's bikeshare.toml, which child processes find too."""
    before = os.environ.get("BIKESHARE_HOME")
    with tempfile.TemporaryDirectory(prefix="bikeshare-bench-") as folder:
        home = Path(folder)
        shutil.copy(ROOT / FILE, home / FILE)
        os.environ["BIKESHARE_HOME"] = str(home)
        try:
            yield home
        finally:
            os.environ.pop("BIKESHARE_HOME")
            if before is not None:
                os.environ["BIKESHARE_HOME"] = before
