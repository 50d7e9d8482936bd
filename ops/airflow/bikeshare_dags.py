"""DAGs of Airflow 3, from the plan beside this file, which `bikeshare schedule airflow` writes.

Input    bikeshare.json: what runs when, from [schedule] of bikeshare.toml.
Output   a DAG for each job of each city; its tasks are commands of `bikeshare`, in the project's
         own environment, one after the other.
Raises   FileNotFoundError, which Airflow shows as an import error, where the plan is missing.

All state is the workspace's, whose locks and keys make a repeated run do its work once, so a task
may be tried again. What was missed is not caught up: a command always means now.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, CronTriggerTimetable, chain

PLAN = Path(__file__).with_name("bikeshare.json")


def made(job: dict[str, Any], home: str) -> DAG:
    """One DAG."""
    cron, zone = job["cron"], job["timezone"]
    with DAG(
        job["dag_id"],
        schedule=None if cron is None else CronTriggerTimetable(cron, timezone=zone),
        catchup=False,
        max_active_runs=1,
        tags=["bikeshare", job["city"]],
    ) as dag:
        chain(*[task(one, home, again=cron is not None) for one in job["tasks"]])
    return dag


def task(one: dict[str, Any], home: str, *, again: bool) -> BashOperator:
    """A command; what a clock started is tried once more, what a person asked for is not."""
    minutes = one["timeout_min"]
    return BashOperator(
        task_id=one["task_id"],
        bash_command=one["command"],
        cwd=home,
        env={"BIKESHARE_HOME": home},
        append_env=True,
        do_xcom_push=False,
        retries=1 if again else 0,
        retry_delay=timedelta(seconds=20),
        execution_timeout=timedelta(minutes=minutes) if minutes else None,
    )


if not PLAN.exists():
    raise FileNotFoundError(f"{PLAN} is missing: bikeshare schedule airflow --into {PLAN.parent}")
_plan = json.loads(PLAN.read_text(encoding="utf-8"))
globals().update({job["dag_id"]: made(job, _plan["home"]) for job in _plan["dags"]})
