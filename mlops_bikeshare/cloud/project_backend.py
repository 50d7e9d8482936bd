"""MLflow's project backend `bikeshare-sagemaker`: an entry point runs as a job of SageMaker.

Input    what `mlflow run . -e features|train --backend bikeshare-sagemaker -P key=value` hands on.
Output   a run of MLflow, which the job re-attaches to, and the job, to be waited for or stopped.
Raises   ExecutionException, which `mlflow run` tells in one line.
Source   MLflow, "MLflow Plugins", "Project Backend Plugins".

`mlflow run` itself waits for no backend but its own, and would call a job that fails a success; so
this one waits, unless `--backend-config '{"wait": false}'` says not to. Ctrl-C stops the job.

Only MLflow loads this module, by the package's entry point. The job runs the code of its image,
not the folder of the project: build the image from the commit that you run.
"""

import os
import shlex
from pathlib import Path
from typing import Any

from mlflow.entities import RunStatus
from mlflow.exceptions import ExecutionException
from mlflow.projects.backend.abstract_backend import AbstractBackend
from mlflow.projects.submitted_run import SubmittedRun
from mlflow.projects.utils import fetch_and_validate_project, get_or_create_run, load_project
from mlflow.tracking import MlflowClient

from mlops_bikeshare.cloud import sagemaker_jobs
from mlops_bikeshare.cloud.job_requests import KINDS, Job, environment, request
from mlops_bikeshare.cloud.sagemaker_jobs import SageMakerJob, State
from mlops_bikeshare.domain.errors import BikeshareError, CloudError
from mlops_bikeshare.settings import Settings, load

JOB_TAG = "sagemaker_job"
_STATES = {
    "Completed": RunStatus.FINISHED,
    "Failed": RunStatus.FAILED,
    "Stopped": RunStatus.KILLED,
}


class SubmittedJob(SubmittedRun):  # type: ignore[misc] # mlflow is not typed
    """A job, as MLflow waits for it."""

    def __init__(self, run_id: str, job: SageMakerJob) -> None:
        super().__init__()
        self._run_id = run_id
        self.job = job

    @property
    def run_id(self) -> str:
        """The run that the job writes to."""
        return self._run_id

    def wait(self) -> bool:
        """Whether it succeeded, once it has ended."""
        return self.ended().succeeded

    def ended(self) -> State:
        """How it ended; the run ends with it, and has the reason as a tag."""
        tracked = MlflowClient()
        state = self.job.wait()
        if state.reason:
            tracked.set_tag(self._run_id, f"{JOB_TAG}_reason", state.reason)
        if not RunStatus.is_terminated(
            RunStatus.from_string(tracked.get_run(self._run_id).info.status)
        ):
            tracked.set_terminated(
                self._run_id, RunStatus.to_string(_STATES.get(state.status, RunStatus.FAILED))
            )
        return state

    def get_status(self) -> str:
        """MLflow's word for how it is."""
        status = _STATES.get(self.job.state().status, RunStatus.RUNNING)
        return str(RunStatus.to_string(status))

    def cancel(self) -> None:
        """Stop the job."""
        self.job.stop()


class SageMakerBackend(AbstractBackend):  # type: ignore[misc] # mlflow is not typed
    """What MLflow calls."""

    def run(  # noqa: PLR0917 - as MLflow calls it
        self,
        project_uri: str,
        entry_point: str,
        params: dict[str, str],
        version: str | None,
        backend_config: dict[str, Any],
        tracking_uri: str,
        experiment_id: str,
    ) -> SubmittedJob:
        """Start the job, and wait for it."""
        try:
            asked = _submitted(
                project_uri, entry_point, params, version, tracking_uri, experiment_id
            )
            if backend_config.get("wait", True):
                _wait(asked)
        except BikeshareError as error:
            raise ExecutionException(str(error)) from error
        return asked


def _wait(asked: SubmittedJob) -> None:
    """CloudError, with the reason, unless the job succeeds."""
    try:
        state = asked.ended()
    except KeyboardInterrupt:
        asked.cancel()
        raise
    if not state.succeeded:
        said = f"job {asked.job.name} is {state.status}"
        raise CloudError(f"{said}: {state.reason or 'its log says why'}")


def _submitted(
    project: str,
    command: str,
    given: dict[str, str],
    version: str | None,
    tracking_uri: str,
    experiment_id: str,
) -> SubmittedJob:
    if command not in KINDS:
        known = ", ".join(KINDS)
        raise CloudError(f"entry point {command!r} is no job of SageMaker; expected one of {known}")
    folder = fetch_and_validate_project(project, version, command, given)
    settings = load(Path(folder), os.environ, {})
    if settings.profile != "aws":
        msg = "a job of SageMaker works on the lake of profile aws, which this is not"
        raise CloudError(f"{msg}: set BIKESHARE_PROFILE=aws")
    quoted, _ = load_project(folder).get_entry_point(command).compute_parameters(given, None)
    run = get_or_create_run(None, project, experiment_id, folder, version, command, given).info
    told = {
        "MLFLOW_TRACKING_URI": tracking_uri,
        "MLFLOW_RUN_ID": run.run_id,
        "MLFLOW_EXPERIMENT_ID": run.experiment_id,
    }
    job = Job(
        name=f"bikeshare-{command}-{run.run_id}",
        command=command,
        # quoted for a shell, which a job has none of
        parameters={key: "".join(shlex.split(value)) for key, value in quoted.items()},
        environment=environment(settings) | told,
    )
    try:
        asked = _started(job, settings)
    except BikeshareError:
        MlflowClient().set_terminated(run.run_id, RunStatus.to_string(RunStatus.FAILED))
        raise
    MlflowClient().set_tag(run.run_id, JOB_TAG, asked.name)
    return SubmittedJob(run.run_id, asked)


def _started(job: Job, settings: Settings) -> SageMakerJob:
    asked = SageMakerJob(sagemaker_jobs.client(settings.region), request(job, settings))
    asked.start()
    return asked
