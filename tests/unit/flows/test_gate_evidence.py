"""What the gate reads: late, stale, double, of the future, or of somebody else."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.tables import INFERENCE, STATION_INFORMATION_RAW
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import infer
from mlops_bikeshare.flows.features import ONLINE
from mlops_bikeshare.flows.judging import gate_evidence, gate_rows, judged, proven, quality_windows
from mlops_bikeshare.monitoring.metrics import ENDPOINT, point
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.release.evidence import QualityOfRecord, Reading
from mlops_bikeshare.serving.endpoints import EndpointState
from tests.unit.flows import tiny

STAGING = "bikeshare-staging"
OF = {"EndpointName": STAGING, "City": "demo"}
MINUTE = timedelta(minutes=1)
SPAN = Window(tiny.START, tiny.START + timedelta(hours=2))
NOW = SPAN.end


@pytest.fixture
def made(tmp_path: Path) -> tuple[Workspace, City]:
    ws, city = tiny.workspace(tmp_path)
    ws.advance(NOW)
    return ws, city


def post(ws: Workspace, value: float, *, minutes: float, name: str = "PSI") -> None:
    ws.metrics.put([point(name, value, at=NOW + minutes * MINUTE, dimensions=OF)])


def reading(ws: Workspace) -> Reading | None:
    return gate_evidence.reading(ws, "PSI", OF)


def test_a_value_of_a_clock_that_runs_ahead_is_not_seen_before_its_time(
    made: tuple[Workspace, City],
) -> None:
    ws, _ = made
    post(ws, 0.9, minutes=-30)
    post(ws, 0.1, minutes=10)
    assert reading(ws) == Reading(value=0.9, at=NOW - 30 * MINUTE)


def test_a_value_that_comes_late_is_as_old_as_what_it_speaks_of(
    made: tuple[Workspace, City],
) -> None:
    ws, _ = made
    post(ws, 0.1, minutes=-10)
    post(ws, 0.9, minutes=-40)
    assert reading(ws) == Reading(value=0.1, at=NOW - 10 * MINUTE)


def test_the_same_value_twice_does_no_harm_and_another_one_contests_it(
    made: tuple[Workspace, City],
) -> None:
    ws, _ = made
    post(ws, 0.1, minutes=0)
    post(ws, 0.1, minutes=0)
    assert reading(ws) == Reading(value=0.1, at=NOW, conflict=False)
    post(ws, 0.3, minutes=0)
    found = reading(ws)
    assert found is not None
    assert found.conflict


def test_an_error_after_the_last_decision_time_counts_in_a_verdict_of_now(
    made: tuple[Workspace, City],
) -> None:
    ws, _ = made
    ws.advance(NOW + 7 * MINUTE)
    of = {"EndpointName": STAGING, "VariantName": "v1"}
    failed = replace(
        point("Invocation5XXErrors", 1, at=NOW + 5 * MINUTE, dimensions=of),
        namespace=ENDPOINT,
        unit="None",
    )
    ws.metrics.put([failed])
    state = EndpointState(
        name=STAGING, status="InService", config="c", variants=(), failure_reason=None
    )
    seen = gate_evidence._health(ws, state, "v1", Window.before(ws.now))
    assert (seen.errors_5xx, seen.invocations) == (1, {})


def test_a_heartbeat_that_was_posted_twice_is_one_batch(made: tuple[Workspace, City]) -> None:
    ws, _ = made
    for minutes in (-30, -30, -10):
        post(ws, 1, minutes=minutes, name="PredictionHeartbeat")
    window = Window(NOW - 60 * MINUTE, NOW)
    assert gate_evidence.beats(ws, OF, window) == [NOW - 30 * MINUTE, NOW - 10 * MINUTE]


def of_record(ws: Workspace, city: City) -> tuple[object, dict[str, float]]:
    latest = {name: gate_evidence.reading(ws, name, OF) for name in gate_evidence.QUALITY}
    return gate_evidence.of_record(ws, city, STAGING, "1", latest)


def test_the_table_at_its_highest_revision_gives_the_values_that_metrics_prove_fresh(
    made: tuple[Workspace, City], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, city = made
    monkeypatch.setattr(quality_windows, "FULL", 0.01)
    tiny.predict(ws, SPAN)
    tiny.poll(ws, Window(SPAN.start, NOW - 30 * MINUTE))
    quality_windows.judge_owed(ws, city, end=NOW, hours=2)
    tiny.poll(ws, Window(NOW - 30 * MINUTE, NOW))
    quality_windows.judge_owed(ws, city, end=NOW, hours=2)

    record, values = of_record(ws, city)

    assert isinstance(record, QualityOfRecord)
    assert (record.revision, record.window_end, record.unlike) == (2, NOW, ())
    posted = gate_evidence.reading(ws, "QualitySamples-24h", OF)
    assert posted is not None
    assert values["QualitySamples-24h"] > posted.value, "late labels count"

    post(ws, 0.99, minutes=0, name="F1-24h")
    forged, _ = of_record(ws, city)
    assert isinstance(forged, QualityOfRecord)
    assert forged.unlike == ("F1-24h",)


def test_metrics_without_a_window_in_the_table_have_no_record(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    assert of_record(ws, city) == (None, {})
    post(ws, 0.9, minutes=0, name="F1-24h")
    assert of_record(ws, city) == (None, {})


def asked(ws: Workspace, city: City) -> None:
    """Features of the last hour's decision times, as the batches made them."""
    tiny.poll(ws, SPAN)
    for at in Window(NOW - 60 * MINUTE, NOW).steps():
        infer.online_features(ws, city, at)


def test_coverage_counts_rows_that_were_answered_with_numbers_by_this_version(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    asked(ws, city)
    last = pd.Timestamp(NOW - 10 * MINUTE)

    def answer(rows: pd.DataFrame) -> pd.DataFrame:
        silent = (rows["station_id"] == "03") & (rows["dt"] == last)
        return rows.assign(p_dockout=rows["p_dockout"].mask(silent))

    tiny.predict(ws, SPAN, endpoints=[STAGING], answer=answer)
    found = gate_evidence.coverage(ws, city, STAGING, "1", SPAN)
    assert found is not None
    assert (found.asked, found.answered) == (48, 47)
    assert found.last_gap == NOW - 10 * MINUTE
    other = gate_evidence.coverage(ws, city, STAGING, "2", SPAN)
    assert other is not None
    assert other.answered == 0
    assert not ws.lake.read(INFERENCE, city="demo").empty


def test_features_that_history_gives_again_are_proven_and_others_are_named(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    assert proven.prove(ws, city, SPAN) is None
    asked(ws, city)
    honest = proven.prove(ws, city, SPAN)
    assert honest is not None
    assert (honest.rows, honest.differing) == (48, 0)

    at = NOW - 90 * MINUTE
    rows = infer.online_features(ws, city, at)
    bent = rows.assign(
        dt=pd.Timestamp(at - 10 * MINUTE).as_unit("ms"), bikes=rows["bikes"] + np.float32(1)
    )
    ws.lake.write(ONLINE, bent, city="demo", name="bent")
    found = proven.prove(ws, city, SPAN)
    assert found is not None
    assert found.rows == 64
    assert found.differing == 8
    assert found.last_at == at - 10 * MINUTE
    assert len(found.examples) == 3
    assert all(text.endswith(" in 8 rows") for text in found.examples)


def test_a_station_list_that_changes_later_does_not_change_what_was_asked(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    asked(ws, city)
    larger = tiny.stations(NOW).assign(capacity=np.int16(40))
    ws.lake.write(STATION_INFORMATION_RAW, larger, city="demo", name="later")
    found = proven.prove(ws, city, SPAN)
    assert found is not None
    assert found.differing == 0


def test_versions_of_different_labels_are_not_compared(
    made: tuple[Workspace, City], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, city = made
    tiny.write_version(ws, city, "2", label=Label(mode="within"))
    champion = ModelVersion(
        name=city.registered_model, version="1", run_id="", digest="", aliases=(), tags={}
    )
    monkeypatch.setattr("mlops_bikeshare.registry.versions.find_if_any", lambda *_: champion)
    with pytest.raises(
        ModelError, match=r"champion version 1 was trained on .*version 2 on .*cannot be"
    ):
        gate_rows.compared(ws, city, STAGING, "2", SPAN)


def test_a_station_that_no_list_has_is_unknown_and_not_judged_by_anothers_truth(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    tiny.predict(ws, SPAN)
    tiny.poll(ws, SPAN)
    said = judged.predictions(ws, city, STAGING, Window(SPAN.start, SPAN.start + 30 * MINUTE))
    happened = judged.outcomes(ws, city, sorted(tiny.STATIONS), SPAN)
    known = judged.labelled(said, happened)
    strange = judged.labelled(said.assign(station_id="gone"), happened)
    assert known["label_bikeout"].notna().all()
    assert strange["label_bikeout"].isna().all()
    assert (strange["count_bikeout"] == -1).all()
    assert (strange.dtypes == known.dtypes).all()
