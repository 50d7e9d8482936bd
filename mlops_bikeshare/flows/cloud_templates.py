"""Templates that are made of what the project knows already, not written twice.

Input    settings; the root of a checkout.
Output   path below the root → text: Glue's tables from the tables' contract, alarms and dashboard
         from ops/alarms.toml, Lambdas from the schedule, roles from calls and implied rights.
"""

import json
from pathlib import Path

from mlops_bikeshare.cloud import alerts, catalog, jobs, permissions, template
from mlops_bikeshare.cloud.alerts import CITY, ENDPOINTS, Widget
from mlops_bikeshare.cloud.jobs import Job
from mlops_bikeshare.domain.variants import ALL_TRAFFIC
from mlops_bikeshare.flows import alarms as ticking
from mlops_bikeshare.flows import catalog as tables
from mlops_bikeshare.flows import schedule
from mlops_bikeshare.flows.releasing import alarms
from mlops_bikeshare.lake.glue import Place, table_input
from mlops_bikeshare.monitoring import cloudwatch_alarms
from mlops_bikeshare.monitoring.alarms import Alarm, dimensions
from mlops_bikeshare.monitoring.metrics import metric
from mlops_bikeshare.settings import Settings

FOLDER = "ops/cloudformation"
IAM = "docs/iam.md"
# What a Lambda may take; Lambda ends what takes longer than 900 s. Not measured there.
TIMEOUT_S = {"ingest": 120, "infer": 300, "monitor": 540, "drift": 540, "compact": 900}
# Lambda tries again a minute after a first try that took all of its time. A batch is worth nothing
# once the next is due.
WORTH_S = {"ingest": 240, "infer": 540, "monitor": 1200, "drift": 3000, "compact": 21_600}


def files(settings: Settings, root: Path) -> dict[str, str]:
    """Every generated template, and the page of rights."""
    rights = read_rights(root)
    made = {
        "catalog": catalog.document(_tables()),
        "alerts": alerts.document(_alarms(settings), _widgets(settings)),
        "jobs": jobs.document(_jobs(settings)),
        "roles": permissions.document(rights),
    }
    texts = {f"{FOLDER}/{name}.yaml": template.write(found) for name, found in made.items()}
    return {**texts, IAM: permissions.report(rights)}


def read_rights(root: Path) -> permissions.Rights:
    """Calls and implied rights of a checkout."""
    folder = root / "ops" / "iam"
    calls = json.loads((folder / "calls.json").read_text(encoding="utf-8"))
    return permissions.derive(calls, (folder / "implied.toml").read_text(encoding="utf-8"))


def _tables() -> list[template.Document]:
    place = Place(address=catalog.ADDRESS, cities=[catalog.CITIES], first_date=catalog.FIRST_DATE)
    return [table_input(table, place) for table in tables.CATALOGUED]


def _alarms(settings: Settings) -> list[template.Document]:
    found = alarms.load(settings).alarms
    return [
        definition
        for stage in ticking.STAGES
        for definition in cloudwatch_alarms.definitions(
            [alarm for alarm in found if alarm.stage == stage],
            cloudwatch_alarms.Place(
                endpoint=ENDPOINTS[stage], city=CITY, variants=ticking.VARIANTS[stage]
            ),
        )
    ]


def _widgets(settings: Settings) -> list[Widget]:
    """A picture for each value that an alarm of production watches, with the tightest limit."""
    found: dict[tuple[str, ...], Alarm] = {}
    for alarm in alarms.load(settings).alarms:
        if alarm.stage == "prod":
            found.setdefault(alarm.inputs, alarm)
    return [_widget(alarm) for alarm in found.values()]


def _widget(alarm: Alarm) -> Widget:
    (of, *_) = dimensions(alarm, endpoint=ENDPOINTS["prod"], city=CITY, variants=[ALL_TRAFFIC])
    return Widget(
        title=alarm.meaning,
        series=[(metric(name).namespace, name, of) for name in alarm.inputs],
        statistic=alarm.statistic,
        period_s=alarm.period_s,
        limit=alarm.threshold if len(alarm.inputs) == 1 else None,
    )


def _jobs(settings: Settings) -> list[Job]:
    """The schedule of cron and systemd as EventBridge says it; compaction follows midnight."""
    city = settings.city(settings.default_city)
    planned = {job.name: job for job in schedule.jobs(settings, city)}
    hour, minute = schedule.AFTER_MIDNIGHT.split(":")
    made = []
    for name, timeout_s in TIMEOUT_S.items():
        when = f"{int(minute)} {int(hour)} * * ? *"
        if name in planned:
            when = f"{schedule.minutes(planned[name])} * * * ? *"
        made.append(Job(name=name, when=when, timeout_s=timeout_s, worth_s=WORTH_S[name]))
    return made
