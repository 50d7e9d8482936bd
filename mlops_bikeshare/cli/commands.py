"""Every command and how it is typed, in the order of `bikeshare --help`.

Output   `add_to` puts the commands and their groups (`groups`) into the application.
"""

from collections.abc import Callable
from typing import Any

import typer

from mlops_bikeshare.cli import (
    alarming,
    cloud,
    data,
    feeding,
    groups,
    hosting,
    looking,
    moving,
    operation,
    proving,
)
from mlops_bikeshare.cli.given import examples


def add_to(app: typer.Typer) -> None:
    """All commands."""

    def add(command: Callable[..., Any], *lines: str, name: str | None = None) -> None:
        app.command(name, epilog=examples(*lines))(command)

    add(
        data.demo,
        "bikeshare demo",
        "bikeshare demo --stations 100 --days 14",
        "bikeshare demo --recording ../recordings/boston --city boston --day 2021-09-01",
    )
    add(
        looking.status,
        "bikeshare status",
        "bikeshare --workspace demo status --json | jq .gate.verdict",
    )
    add(looking.doctor, "bikeshare doctor", "bikeshare doctor --json | jq .settings.workspace")
    add(
        looking.explain,
        "bikeshare explain --station 67 --dt 2021-09-01T08:00",
        "bikeshare --workspace demo explain --station 12 --dt 2025-06-22T08:00 --json",
    )
    add(
        looking.dashboard, "bikeshare dashboard", "bikeshare --workspace main dashboard --port 8600"
    )
    add(
        looking.mlflow_ui,
        "bikeshare mlflow-ui",
        "bikeshare --workspace demo mlflow-ui --port 5001",
        name="mlflow-ui",
    )
    add(
        data.ingest,
        "bikeshare ingest --recording ../recordings/boston --city boston",
        "bikeshare ingest --recording ../recordings/boston --window 2021-06-01..2021-07-01",
    )
    add(data.compact, "bikeshare compact", "bikeshare --workspace demo compact --city demo")
    add(data.features, "bikeshare features", "bikeshare features --window 2021-06-01..2021-07-01")
    add(
        data.train,
        "bikeshare train",
        "bikeshare train --train 2021-06-01..2021-08-25 --calibrate 2021-08-25..2021-09-01 \\",
        "    --test 2021-09-01..2021-10-01",
        "bikeshare train --rounds 100 --json | jq .version",
    )
    add(
        data.tune,
        "bikeshare tune --trials 20",
        "bikeshare tune --window 2021-06-01..2021-08-25 --trials 40 && bikeshare mlflow-ui",
    )
    add(
        proving.backtest,
        "bikeshare backtest --recording ../recordings/boston --city boston \\",
        "    --train 2021-06-01..2021-08-25 --calibrate 2021-08-25..2021-09-01 \\",
        "    --test 2021-09-01..2021-10-01 --report var/backtest.json",
    )
    add(
        proving.cold_start,
        "bikeshare cold-start --recording ../recordings/paris --city paris \\",
        "    --train-on ../recordings/boston:boston --train-on ../recordings/taipei:taipei",
        name="cold-start",
    )
    add(
        proving.verify_features,
        "bikeshare verify-features --recording ../recordings/boston --city boston",
        "bikeshare verify-features --recording ../mine --city lyon \\",
        "    --timezone Europe/Paris --country FR",
        name="verify-features",
    )
    add(
        operation.deploy,
        "bikeshare deploy",
        "bikeshare deploy --alias 3 --initial",
    )
    add(
        operation.replay,
        "bikeshare replay --recording ../recordings/boston --window 2021-09-01..2021-09-02",
    )
    add(operation.infer, "bikeshare infer", "bikeshare infer --json")
    add(operation.monitor, "bikeshare monitor", "bikeshare monitor --json | jq .quality")
    add(
        operation.gate, "bikeshare gate && bikeshare promote", "bikeshare gate --json | jq .verdict"
    )
    add(
        operation.promote,
        "bikeshare promote --dry-run",
        "bikeshare promote",
        "bikeshare promote --canary",
    )
    add(
        operation.rollback,
        'bikeshare rollback --reason "dockout warnings came too late"',
        "bikeshare rollback --to 3",
    )
    add(proving.drill, "bikeshare drill", "bikeshare drill --days 1 --stations 40")
    add(operation.watch, "bikeshare infer && bikeshare monitor && bikeshare watch")
    add(operation.retrain, "bikeshare retrain --check", "bikeshare retrain --json | jq .reasons")
    add(
        operation.history,
        "bikeshare history",
        "bikeshare history --at 2021-09-01T08:00 --json | jq .reigns[0].version",
    )
    add(
        moving.moves,
        "bikeshare moves --vans 3 --capacity 20",
        "bikeshare --workspace demo moves --csv > moves.csv",
    )
    add(
        moving.moves_backtest,
        "bikeshare moves-backtest --recording ../recordings/boston --city boston \\",
        "    --train 2021-06-01..2021-08-11 --calibrate 2021-08-11..2021-08-18 \\",
        "    --test 2021-08-18..2021-09-01 --report var/moves.json",
        name="moves-backtest",
    )
    add(
        moving.feedback,
        "bikeshare feedback --station 67 --what handled",
        'bikeshare feedback --station 67 --what wrong --note "ten bikes there"',
    )
    add(
        moving.what_if,
        "bikeshare what-if --station 67 --bikes 3",
        "bikeshare --workspace demo what-if --hour 8 --weekday 0 --bikes-more -2",
        name="what-if",
    )
    add(
        hosting.serve,
        "bikeshare serve --background",
        "bikeshare --workspace demo serve --port 0",
    )
    add(
        feeding.try_feed,
        "bikeshare try https://gbfs.bluebikes.com/gbfs/gbfs.json",
        name="try",
    )
    add(
        feeding.live,
        "bikeshare live --city boston --city nyc",
        "bikeshare --workspace rehearsal live --city boston \\",
        "    --url http://127.0.0.1:8300/gbfs.json --replay-clock",
    )
    add(
        feeding.import_recording,
        "bikeshare import-recording history.csv --city paris --map observed_at=time \\",
        "    --map num_bikes_available=bikes --zone Europe/Paris",
        "bikeshare import-recording ../exports --city paris --stations stations.csv",
        name="import-recording",
    )
    add(
        feeding.replay_feed,
        "bikeshare replay-feed --recording ../recordings/boston --speed 60",
        "bikeshare replay-feed --recording ../recordings/boston --gbfs 3.0 --fault html",
        name="replay-feed",
    )
    add(alarming.poll, "bikeshare poll --city boston")
    add(alarming.exporter, "bikeshare exporter", "bikeshare --workspace demo exporter --port 0")
    add(
        cloud.cost,
        "bikeshare cost --env prod",
        "bikeshare cost --env prod --prices mine.toml --json | jq .usd",
    )
    add(
        hosting.api,
        "bikeshare api",
        "BIKESHARE_API__TOKEN=$TOKEN bikeshare --workspace demo api --port 0",
    )
    add(hosting.stop, "bikeshare stop", "bikeshare --workspace demo stop")
    for group, commands in groups.GROUPS.items():
        app.add_typer(commands, name=group)
