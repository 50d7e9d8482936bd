"""A day through a canary: what the predictions table must say of it, whatever the city.

Input    a home in which a demo ended (version 2 was promoted and taken back, version 1 serves), and
         the recording of the time after it.
Output   nothing; asserts that every row of the table names the version that answered it.
"""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows import gate, production, promote, replay, serve, watch
from mlops_bikeshare.flows.features import ONLINE
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.registry.scorer import Scorer
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.recorded import open_recording
from tests.e2e.conftest import Home

BASELINE, CANDIDATE = ("Baseline", "1"), ("Candidate", "2")


def through_a_canary(
    home: Home, copied_to: Path, *, name: str, hours: int, recording: Path | None = None
) -> None:
    """Replay so many hours while version 2 gets 10 %, 50 % and all of the traffic."""
    copy = shutil.copytree(home.path, copied_to)
    settings = load(copy, {"BIKESHARE_HOME": str(copy)}, {"serving.port": 0})
    ws = open_workspace(settings.with_workspace("demo", default_city=name))
    city = ws.settings.city(name)
    window = Window(ws.now, ws.now + timedelta(hours=hours))
    moved: list[watch.Watched] = []

    def watched(ws: Workspace, city: City) -> None:
        seen = watch.watch(ws, city)
        moved.extend([seen] if seen.moved else [])

    with serve.hosting(ws):
        with pytest.raises(Refused, match="was taken back"):
            promote.canary(ws, city)
        assert gate.gate(ws, city).verdict == "pass"
        assert isinstance(promote.canary(ws, city), promote.Holding)
        feed = open_recording(recording or ws.path / "recording")
        replay.replay(ws, city, feed, window, after_batch=watched)

    assert [seen.moved.kind for seen in moved if seen.moved] == ["promotion"]
    _check_rows(ws, city, window)
    _check_arithmetic(ws, city, window)
    _check_landed(ws, city, window, moved[0])


def _check_rows(ws: Workspace, city: City, window: Window) -> None:
    """Of each batch only versions that had a share then, and both while both had one."""
    rows = ws.lake.read(INFERENCE, city=city.name, window=window, name_prefix="bikeshare-prod_")
    answered = rows[["variant", "model_version"]].drop_duplicates()
    assert sorted(answered.itertuples(index=False, name=None)) == [BASELINE, CANDIDATE]
    told = production.tell(ws, city).reigns
    assert [sorted(r.shares.values()) for r in told[-4:]] == [[0.1, 0.9], [0.5, 0.5], [0, 1], [1]]
    for dt in rows["dt"].unique():
        batch = rows[rows["dt"] == dt]
        # A batch comes before what is decided at its time; the canary began before the first one.
        reign = [r for r in told if r.since < dt or r.since == window.start][-1]
        assert set(batch["model_version"]) <= {v for v, share in reign.shares.items() if share}


def _check_arithmetic(ws: Workspace, city: City, window: Window) -> None:
    """The probabilities of each row are those of the version it names, and not of the other."""
    said = judged.answered(judged.predictions(ws, city, "bikeshare-prod", window))
    asked = ws.lake.read(ONLINE, city=city.name, window=window)
    for _, version in (BASELINE, CANDIDATE):
        model = Scorer.load(str(judged.artifacts(ws, city, version)))
        expected = asked[["station_id", "dt"]].assign(
            expected=model.predict(asked[list(FEATURE_NAMES)])["p_bikeout_30"].to_numpy()
        )
        rows = said.merge(expected, on=["station_id", "dt"])
        apart = (rows["p_bikeout"] - rows["expected"]).abs()
        own = rows["model_version"] == version
        assert len(rows) == len(said)
        assert apart[own].max() <= 1e-9
        assert (apart[~own] > 1e-9).mean() > 0.5


def _check_landed(ws: Workspace, city: City, window: Window, last: watch.Watched) -> None:
    rows = ws.lake.read(INFERENCE, city=city.name, window=window, name_prefix="bikeshare-prod_")
    landed = rows[rows["dt"] > last.at]
    assert set(landed["model_version"]) == {"2"}
    assert len(landed)
