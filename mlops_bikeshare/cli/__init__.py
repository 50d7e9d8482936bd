"""`bikeshare`: arguments to flow to exit code.

A command parses, opens, calls one flow and prints what it returned. `main` is the only place that
turns errors into messages: one line on stderr, and the exit code of domain.errors. Nothing heavy is
imported before a command runs.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from mlops_bikeshare.cli import (
    alarming,
    cloud,
    data,
    feeding,
    given,
    hosting,
    looking,
    moving,
    operation,
    proving,
    screen,
)
from mlops_bikeshare.cli.failures import BAD_INPUT, INTERRUPTED, explain
from mlops_bikeshare.cli.given import examples
from mlops_bikeshare.cli.screen import LogFormat, LogLevel

_SIGINT = 130
_BUG = 70
EXIT_CODES = """\b
Exit codes:
  0   done
  1   a decision went against: gate failed, promotion or rollback refused
  2   bad input, something is missing, or stopped by you
  3   the gate cannot know
  70  a mistake in bikeshare itself"""

app = typer.Typer(
    name="bikeshare",
    help="Predict bike and dock stockouts, and keep the model that does so healthy.",
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    workspace: Annotated[
        str | None, typer.Option(help="State lives in var/NAME.", autocompletion=given.workspaces)
    ] = None,
    profile: Annotated[str | None, typer.Option(help="local or aws.")] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            envvar="BIKESHARE_LOG_FORMAT",
            help="Of lines on stderr; default: rich on terminals, else plain.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="BIKESHARE_LOG_LEVEL", help="The least that is shown.")
    ] = LogLevel.INFO,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Predict bike and dock stockouts, and keep the model that does so healthy.

    Options before the command hold for every command.
    """
    given.keep(workspace=workspace, profile=profile)
    screen.start(log_format, log_level)
    if version:
        from importlib.metadata import version as installed

        screen.say(f"bikeshare {installed('mlops_bikeshare')}")
    elif context.invoked_subcommand is None:
        screen.say(context.get_help())


def _add(command: Callable[..., Any], *lines: str, name: str | None = None) -> None:
    app.command(name, epilog=examples(*lines))(command)


_add(
    data.demo,
    "bikeshare demo",
    "bikeshare demo --stations 100 --days 14",
    "bikeshare demo --recording ../recordings/boston --city boston --day 2021-09-01",
)
_add(
    looking.status,
    "bikeshare status",
    "bikeshare --workspace demo status --json | jq .gate.verdict",
)
_add(looking.doctor, "bikeshare doctor", "bikeshare doctor --json | jq .settings.workspace")
_add(
    looking.explain,
    "bikeshare explain --station 67 --dt 2021-09-01T08:00",
    "bikeshare --workspace demo explain --station 12 --dt 2025-06-22T08:00 --json",
)
_add(looking.dashboard, "bikeshare dashboard", "bikeshare --workspace main dashboard --port 8600")
_add(
    looking.mlflow_ui,
    "bikeshare mlflow-ui",
    "bikeshare --workspace demo mlflow-ui --port 5001",
    name="mlflow-ui",
)
_add(
    data.ingest,
    "bikeshare ingest --recording ../recordings/boston --city boston",
    "bikeshare ingest --recording ../recordings/boston --window 2021-06-01..2021-07-01",
)
_add(data.compact, "bikeshare compact", "bikeshare --workspace demo compact --city demo")
_add(data.features, "bikeshare features", "bikeshare features --window 2021-06-01..2021-07-01")
_add(
    data.train,
    "bikeshare train",
    "bikeshare train --train 2021-06-01..2021-08-25 --calibrate 2021-08-25..2021-09-01 \\",
    "    --test 2021-09-01..2021-10-01",
    "bikeshare train --rounds 100 --json | jq .version",
)
_add(
    data.tune,
    "bikeshare tune --trials 20",
    "bikeshare tune --window 2021-06-01..2021-08-25 --trials 40 && bikeshare mlflow-ui",
)
_add(
    proving.backtest,
    "bikeshare backtest --recording ../recordings/boston --city boston \\",
    "    --train 2021-06-01..2021-08-25 --calibrate 2021-08-25..2021-09-01 \\",
    "    --test 2021-09-01..2021-10-01 --report var/backtest.json",
)
_add(
    proving.cold_start,
    "bikeshare cold-start --recording ../recordings/paris --city paris \\",
    "    --train-on ../recordings/boston:boston --train-on ../recordings/taipei:taipei",
    name="cold-start",
)
_add(
    proving.verify_features,
    "bikeshare verify-features --recording ../recordings/boston --city boston",
    "bikeshare verify-features --recording ../mine --city lyon \\",
    "    --timezone Europe/Paris --country FR",
    name="verify-features",
)
_add(
    operation.deploy,
    "bikeshare deploy",
    "bikeshare deploy --alias 3 --initial",
)
_add(
    operation.replay,
    "bikeshare replay --recording ../recordings/boston --window 2021-09-01..2021-09-02",
)
_add(operation.infer, "bikeshare infer", "bikeshare infer --json")
_add(operation.monitor, "bikeshare monitor", "bikeshare monitor --json | jq .quality")
_add(operation.gate, "bikeshare gate && bikeshare promote", "bikeshare gate --json | jq .verdict")
_add(
    operation.promote,
    "bikeshare promote --dry-run",
    "bikeshare promote",
    "bikeshare promote --canary",
)
_add(
    operation.rollback,
    'bikeshare rollback --reason "dockout warnings came too late"',
    "bikeshare rollback --to 3",
)
_add(proving.drill, "bikeshare drill", "bikeshare drill --days 1 --stations 40")
_add(operation.watch, "bikeshare infer && bikeshare monitor && bikeshare watch")
_add(operation.retrain, "bikeshare retrain --check", "bikeshare retrain --json | jq .reasons")
_add(
    operation.history,
    "bikeshare history",
    "bikeshare history --at 2021-09-01T08:00 --json | jq .reigns[0].version",
)
_add(
    moving.moves,
    "bikeshare moves --vans 3 --capacity 20",
    "bikeshare --workspace demo moves --csv > moves.csv",
)
_add(
    moving.moves_backtest,
    "bikeshare moves-backtest --recording ../recordings/boston --city boston \\",
    "    --train 2021-06-01..2021-08-11 --calibrate 2021-08-11..2021-08-18 \\",
    "    --test 2021-08-18..2021-09-01 --report var/moves.json",
    name="moves-backtest",
)
_add(
    moving.feedback,
    "bikeshare feedback --station 67 --what handled",
    'bikeshare feedback --station 67 --what wrong --note "ten bikes there"',
)
_add(
    moving.what_if,
    "bikeshare what-if --station 67 --bikes 3",
    "bikeshare --workspace demo what-if --hour 8 --weekday 0 --bikes-more -2",
    name="what-if",
)
_add(
    hosting.serve,
    "bikeshare serve --background",
    "bikeshare --workspace demo serve --port 0",
)
_add(
    feeding.try_feed,
    "bikeshare try https://gbfs.bluebikes.com/gbfs/gbfs.json",
    name="try",
)
_add(
    feeding.live,
    "bikeshare live --city boston --city nyc",
    "bikeshare --workspace rehearsal live --city boston \\",
    "    --url http://127.0.0.1:8300/gbfs.json --replay-clock",
)
_add(
    feeding.import_recording,
    "bikeshare import-recording history.csv --city paris --map observed_at=time \\",
    "    --map num_bikes_available=bikes --zone Europe/Paris",
    "bikeshare import-recording ../exports --city paris --stations stations.csv",
    name="import-recording",
)
_add(
    feeding.replay_feed,
    "bikeshare replay-feed --recording ../recordings/boston --speed 60",
    "bikeshare replay-feed --recording ../recordings/boston --gbfs 3.0 --fault html",
    name="replay-feed",
)
_add(alarming.poll, "bikeshare poll --city boston")
_add(alarming.exporter, "bikeshare exporter", "bikeshare --workspace demo exporter --port 0")
_add(
    cloud.cost,
    "bikeshare cost --env prod",
    "bikeshare cost --env prod --prices mine.toml --json | jq .usd",
)
_add(
    hosting.api,
    "bikeshare api",
    "BIKESHARE_API__TOKEN=$TOKEN bikeshare --workspace demo api --port 0",
)
_add(hosting.stop, "bikeshare stop", "bikeshare --workspace demo stop")

_APPLY = "bikeshare --profile aws catalog apply"
_catalog = typer.Typer(
    help="The lake's tables and views in Glue and Athena.",
    epilog=examples(_APPLY),
    no_args_is_help=True,
    rich_markup_mode=None,
)
_catalog.command("apply", epilog=examples(_APPLY, f"{_APPLY} --json"))(data.catalog_apply)
app.add_typer(_catalog, name="catalog")

_staging = typer.Typer(
    help="Stop staging between two challengers, start it again, move it to a smaller machine.",
    epilog=examples("bikeshare staging stop", "bikeshare staging start"),
    no_args_is_help=True,
    rich_markup_mode=None,
)
_staging.command("stop", epilog=examples("bikeshare staging stop"))(operation.staging_stop)
_staging.command("start", epilog=examples("bikeshare staging start"))(operation.staging_start)
_staging.command(
    "downsize", epilog=examples("bikeshare staging downsize --instance-type ml.c5.large")
)(operation.staging_downsize)
app.add_typer(_staging, name="staging")

_SPLIT = "bikeshare endpoint split --endpoint trial --candidate challenger --weight 0.1"
_MERGE = "bikeshare endpoint merge --endpoint trial"
_endpoint = typer.Typer(
    help="Share an endpoint's traffic between two versions.",
    epilog=examples(_SPLIT, _MERGE),
    no_args_is_help=True,
    rich_markup_mode=None,
)
_endpoint.command("split", epilog=examples(_SPLIT, f"{_SPLIT[:-3]}0.5"))(hosting.split)
_endpoint.command("merge", epilog=examples(_MERGE))(hosting.merge)
app.add_typer(_endpoint, name="endpoint")


_ALARMS = "bikeshare --profile aws alarms apply"
_alarms = typer.Typer(
    epilog=examples("bikeshare alarms", "bikeshare alarms --json | jq '.[].seen.state'", _ALARMS),
    rich_markup_mode=None,
)
_alarms.callback(invoke_without_command=True)(alarming.alarms)
_alarms.command("apply", epilog=examples(_ALARMS, "bikeshare alarms apply --dry-run"))(
    alarming.alarms_apply
)
app.add_typer(_alarms, name="alarms")

_notify = typer.Typer(
    help="Who is told of alarms and releases.",
    epilog=examples("bikeshare notify test"),
    no_args_is_help=True,
    rich_markup_mode=None,
)
_notify.callback()(lambda: None)
_notify.command("test", epilog=examples("bikeshare notify test --json"))(alarming.notify_test)
app.add_typer(_notify, name="notify")

_schedule = typer.Typer(
    help="What cron or systemd should run when.",
    epilog=examples("bikeshare schedule cron", "bikeshare schedule systemd --into units"),
    no_args_is_help=True,
    rich_markup_mode=None,
)
_schedule.command("cron", epilog=examples("bikeshare schedule cron --city boston"))(
    alarming.schedule_cron
)
_schedule.command("systemd", epilog=examples("bikeshare schedule systemd --into units"))(
    alarming.schedule_systemd
)
app.add_typer(_schedule, name="schedule")

_DEPLOY = "bikeshare aws deploy --env dev"
_aws = typer.Typer(
    help="An environment in an account of AWS: its stacks of CloudFormation.",
    epilog=examples("bikeshare aws diff --env dev", _DEPLOY),
    no_args_is_help=True,
    rich_markup_mode=None,
)
_aws.command("deploy", epilog=examples(_DEPLOY, f"{_DEPLOY} --image 0.1.0 --yes"))(cloud.deploy)
_aws.command("diff", epilog=examples("bikeshare aws diff --env dev --json"))(cloud.diff)
_aws.command("destroy", epilog=examples("bikeshare aws destroy --env dev"))(cloud.destroy)
app.add_typer(_aws, name="aws")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    # Threads that spin while they wait make training ten times slower on a machine that others use.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    command = typer.main.get_command(app)
    given_ = list(arguments) if arguments is not None else None
    try:
        code = command.main(args=given_, prog_name="bikeshare", standalone_mode=False)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        code = _SIGINT
    except Exception as error:
        screen.clear()
        explained = explain(error)
        if explained is None:
            traceback.print_exc()
            explained = (f"unforeseen {type(error).__name__}: please report the lines above", _BUG)
        line, code = explained
        print(f"bikeshare: {line}", file=sys.stderr)
        return code
    screen.clear()
    if code == _SIGINT:
        print(f"bikeshare: {INTERRUPTED}", file=sys.stderr)
        return BAD_INPUT
    return code if isinstance(code, int) else 0
