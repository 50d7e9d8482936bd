from datetime import date
from pathlib import Path

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows import ingest, verify
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.sources.simulator.simulate import simulate

CITY = City(name="nowhere", timezone="America/Toronto", country="CA")


def test_the_proofs_run_on_what_the_lake_holds(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    made = simulate(stations=10, days=3, seed=3, start=date(2025, 6, 2), timezone=CITY.timezone)
    made.write(folder)
    ws = open_workspace(Settings(root=tmp_path, cities={CITY.name: CITY}), simulated=True)
    ingest.import_recording(ws, CITY, folder)
    polls, day = verify.stored(ws, CITY, day=None)
    done = verify.verify(polls, CITY, day, verify.stations_of(ws, CITY), times=2)
    assert done.holds
    assert done.rows > 500
