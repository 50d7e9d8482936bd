import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_bikeshare.sources.simulator import simulate

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Bikeshare = Callable[..., "CompletedProcess[str]"]


def test_what_a_proof_or_a_backtest_shows_comes_as_json_too(
    bikeshare: Bikeshare, home: Path
) -> None:
    folder = home / "recording"
    made = simulate(stations=12, days=6, seed=3, start=date(2025, 6, 2), timezone="Europe/Paris")
    made.write(folder)
    which = ("--recording", str(folder), "--city", "paris", "--json")

    proved = bikeshare("verify-features", *which, "--times", "1")
    tested = bikeshare(
        "backtest",
        *which,
        *("--train", "2025-06-02..2025-06-05", "--calibrate", "2025-06-05..2025-06-06"),
        *("--test", "2025-06-06..2025-06-08", "--threads", "1"),
        BIKESHARE_TRAINING__ROUNDS="5",
    )

    proofs = json.loads(proved.stdout)
    assert proofs["holds"] is True
    assert proofs["day"] in {f"2025-06-0{day}" for day in range(2, 8)}
    assert all(proof["wrong"] == [] for proof in proofs["proofs"])
    assert set(json.loads(tested.stdout)["targets"]) == {"bikeout", "dockout"}
