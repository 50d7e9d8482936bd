from datetime import date

import pytest

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.features import proofs
from mlops_bikeshare.flows import verify
from mlops_bikeshare.sources.recorded import Recording, open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate

CITY = City(name="nowhere", timezone="America/Toronto", country="CA")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("recording")
    made = simulate(stations=10, days=3, seed=3, start=date(2025, 6, 2), timezone=CITY.timezone)
    made.write(folder)
    return open_recording(folder)


def verified(recording: Recording) -> verify.Verified:
    polls, day = verify.recorded(recording, CITY, day=None)
    stations = recording.information(recording.span.start)
    return verify.verify(polls, CITY, day, stations, times=2)


def test_every_proof_holds_on_a_recording(recording: Recording) -> None:
    done = verified(recording)
    assert done.holds
    assert done.rows > 1000
    assert verify.summary(done).count("pass  ") == len(proofs.PROOFS)


def test_a_proof_that_fails_is_shown_with_its_reason(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(proofs.PROOFS, "never", lambda case: [f"{case.day}: wrong"] * 5)
    done = verified(recording)
    assert not done.holds
    shown = verify.summary(done)
    assert "FAIL  never" in shown
    assert "and 2 more" in shown


def test_a_day_outside_the_recording_is_refused(recording: Recording) -> None:
    for day in ("2025-06-02", "2025-07-01"):
        with pytest.raises(InputError, match="choose a day in it"):
            verify.recorded(recording, CITY, day=day)
