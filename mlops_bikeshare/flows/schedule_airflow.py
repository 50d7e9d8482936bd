"""Schedule for Airflow: the jobs that cron and systemd run, as a plan its DAGs are made from.

Input    settings and cities; `[schedule]` says how often, as in flows/schedule.py.
Output   a document: `home`, and `dags`, each with its name, cron expression and time zone (null:
         only when somebody asks), and tasks: name, what a shell runs, minutes it may take (null:
         any).
Source   Airflow 3, task SDK: CronTriggerTimetable, BashOperator.

`ops/airflow/bikeshare_dags.py` reads the document where Airflow runs, which has an environment of
its own: it needs nothing of this package, and parsing the DAGs starts no process.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows.schedule import Job, commands, jobs, minutes
from mlops_bikeshare.settings import Settings

FILE = "bikeshare.json"
# Nobody's clock promotes: a person asks, and the gate answers first.
_ASKED_FOR = Job(name="promote", commands=("gate", "promote"))


def plan(settings: Settings, cities: Sequence[City], *, program: Path) -> dict[str, Any]:
    """The document, which JSON can hold."""
    dags = [
        _dag(settings, city, job, program)
        for city in cities
        for job in (*jobs(settings, city), _ASKED_FOR)
    ]
    return {"home": str(settings.root), "dags": dags}


def _dag(settings: Settings, city: City, job: Job, program: Path) -> dict[str, Any]:
    lines = commands(settings, city, job, program)
    return {
        "dag_id": f"bikeshare_{city.name}_{job.name}",
        "city": city.name,
        "cron": _cron(job),
        "timezone": job.zone,
        "tasks": [
            {"task_id": name, "command": line, "timeout_min": job.every_min}
            for name, line in zip(job.commands, lines, strict=True)
        ],
    }


def _cron(job: Job) -> str | None:
    if job.every_min is not None:
        return f"{minutes(job)} * * * *"
    if not job.at:
        return None
    hour, minute = job.at.split(":")
    return f"{int(minute)} {int(hour)} * * {job.day or '*'}"
