"""Commands of commands: `bikeshare catalog apply`, `bikeshare alarms apply`, ...

Output   `GROUPS`: name → its commands, in the order of `bikeshare --help`.
"""

import typer

from mlops_bikeshare.cli import alarming, cloud, data, hosting, operation, registering
from mlops_bikeshare.cli.given import examples

_APPLY = "bikeshare --profile aws catalog apply"
_catalog = typer.Typer(
    help="The lake's tables and views in Glue and Athena.",
    epilog=examples(_APPLY),
    no_args_is_help=True,
    rich_markup_mode=None,
)
_catalog.command("apply", epilog=examples(_APPLY, f"{_APPLY} --json"))(data.catalog_apply)

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

_ALARMS = "bikeshare --profile aws alarms apply"
_alarms = typer.Typer(
    epilog=examples("bikeshare alarms", "bikeshare alarms --json | jq '.[].seen.state'", _ALARMS),
    rich_markup_mode=None,
)
_alarms.callback(invoke_without_command=True)(alarming.alarms)
_alarms.command("apply", epilog=examples(_ALARMS, "bikeshare alarms apply --dry-run"))(
    alarming.alarms_apply
)

_notify = typer.Typer(
    help="Who is told of alarms and releases.",
    epilog=examples("bikeshare notify test"),
    no_args_is_help=True,
    rich_markup_mode=None,
)
_notify.callback()(lambda: None)
_notify.command("test", epilog=examples("bikeshare notify test --json"))(alarming.notify_test)

_schedule = typer.Typer(
    help="What cron, systemd or Airflow should run when.",
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
_schedule.command("airflow", epilog=examples("bikeshare schedule airflow --into ops/airflow"))(
    alarming.schedule_airflow
)

_SYNC = "bikeshare --profile aws registry sync"
_registry = typer.Typer(
    help="SageMaker's Model Registry beside MLflow's.",
    epilog=examples(_SYNC),
    no_args_is_help=True,
    rich_markup_mode=None,
)
_registry.callback()(lambda: None)
_registry.command("sync", epilog=examples(_SYNC, f"{_SYNC} --city boston --json"))(registering.sync)

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
_aws.command("pipeline", epilog=examples("bikeshare aws pipeline --city boston > pipeline.json"))(
    cloud.pipeline
)

GROUPS = {
    "catalog": _catalog,
    "staging": _staging,
    "endpoint": _endpoint,
    "alarms": _alarms,
    "notify": _notify,
    "schedule": _schedule,
    "registry": _registry,
    "aws": _aws,
}
