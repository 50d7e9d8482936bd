"""SageMaker's jobs on the wire: requests are checked, and the container's command really runs.

A job is a process of this machine: with the folders, files and variables that SageMaker gives a
container, below a folder of its own (SAGEMAKER_BASE_DIR) in the place of /opt/ml, and with what the
image sets (`image`). Arguments are validated against botocore's model, patterns and enumerations
too, which boto3 itself leaves to the service.
"""

import json
import os
import re
import string
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from tests.wire import Application, RefusedError, json_service, served

Guard = Callable[[Application], Application]
PLACE = "arn:aws:sagemaker:ca-central-1:123456789012"
# Classes of Unicode, which Python's patterns do not know.
_SIGNS = re.escape(string.punctuation)
_CLASSES = {"L": r"\w", "M": "", "N": r"\d", "Z": " ", "P": _SIGNS, "S": _SIGNS}
MODEL = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


@dataclass
class Running:
    """A job: what was asked, its folder, its process."""

    kind: str
    asked: dict[str, Any]
    base: Path
    process: "subprocess.Popen[bytes]"
    stopped: bool = False

    @property
    def status(self) -> str:
        code = self.process.poll()
        if code is None:
            return "Stopping" if self.stopped else "InProgress"
        return "Stopped" if self.stopped else "Failed" if code else "Completed"

    @property
    def reason(self) -> dict[str, str]:
        """What the container left, under the name that SageMaker shows it by."""
        name, key = {
            "Training": ("failure", "FailureReason"),
            "Processing": ("message", "ExitMessage"),
        }[self.kind]
        file = self.base / "output" / name
        return {key: file.read_text()[:1024]} if file.is_file() else {}


@dataclass
class SageMakerJobs:
    """The jobs, and what every container finds in its environment."""

    folder: Path
    image: Mapping[str, str]
    jobs: dict[str, Running] = field(default_factory=dict)
    url: str = ""

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what an operation asks."""
        if wrong := wrong_in(operation, asked):
            raise RefusedError(wrong)
        kind = "Training" if "Training" in operation else "Processing"
        name = asked[f"{kind}JobName"]
        if operation.startswith("Create"):
            self.jobs[name] = self._started(kind, name, asked)
            return {f"{kind}JobArn": f"{PLACE}:{kind.lower()}-job/{name}"}
        if name not in self.jobs:
            raise RefusedError("Requested resource not found.")
        job = self.jobs[name]
        if operation.startswith("Stop"):
            job.stopped = True
            job.process.terminate()
            return {}
        return {f"{kind}JobName": name, f"{kind}JobStatus": job.status, **job.reason}

    def _started(self, kind: str, name: str, asked: dict[str, Any]) -> Running:
        base = self.folder / name
        config = base / "input" / "config" if kind == "Training" else base / "config"
        config.mkdir(parents=True)
        (base / "output").mkdir()
        hosts = {"current_host": "algo-1", "hosts": ["algo-1"]}
        (config / "resourceconfig.json").write_text(json.dumps(hosts))
        if kind == "Training":
            (base / "model").mkdir()
            told = json.dumps(asked.get("HyperParameters", {}))
            (config / "hyperparameters.json").write_text(told)
        else:
            (config / "processingjobconfig.json").write_text(json.dumps(asked))
        container = asked.get("AlgorithmSpecification") or asked["AppSpecification"]
        variables = {f"{kind.upper()}_JOB_NAME": name, "SAGEMAKER_BASE_DIR": str(base)}
        process = subprocess.Popen(
            [*container["ContainerEntrypoint"], *container["ContainerArguments"]],
            cwd=self.image["BIKESHARE_HOME"],
            env={**self.image, **asked["Environment"], **variables},
        )
        return Running(kind, asked, base, process)


def image(home: Path, account: Mapping[str, str]) -> dict[str, str]:
    """What the image and the machine set: nothing of this process but where Python is."""
    root = str(Path(__file__).resolve().parents[1])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    aws = {k: v for k, v in account.items() if k.startswith("AWS_") or k == "NO_PROXY"}
    fixed = {"BIKESHARE_HOME": str(home), "PYTHONPATH": root, "PATH": path, "HOME": str(home)}
    return {**aws, **fixed, "BIKESHARE_REHEARSE_AWS": "yes", "MLFLOW_DISABLE_TELEMETRY": "true"}


def wrong_in(operation: str, asked: Mapping[str, Any]) -> str:
    """What SageMaker's model does not allow in a request; nothing if all is well."""
    shape = MODEL.operation_model(operation).input_shape
    report = ParamValidator().validate(asked, shape)
    return report.generate_report() or "; ".join(_wrong(asked, shape))


def _wrong(value: Any, shape: Shape) -> list[str]:
    """Texts that match no pattern, or none of the words, that the model allows."""
    if shape.type_name == "structure":
        return [w for k, v in value.items() for w in _wrong(v, shape.members[k])]
    if shape.type_name == "list":
        return [wrong for item in value for wrong in _wrong(item, shape.member)]
    if shape.type_name == "map":
        return [w for k, v in value.items() for w in _wrong(k, shape.key) + _wrong(v, shape.value)]
    if shape.type_name != "string":
        return []
    limit, pattern = shape.metadata.get("max"), shape.metadata.get("pattern", "(?s).*")
    allowed = shape.metadata.get("enum") or [value]
    # Some patterns of the model end with a length where none can stand: the members have it too.
    pattern = re.sub(r"\$\{\d+,\d+\}$", "", pattern)
    pattern = re.sub(r"\\p\{(\w)\}", lambda found: _CLASSES[found[1]], pattern)
    fits = re.fullmatch(pattern, value) and len(value) <= (limit or len(value))
    return [] if fits and value in allowed else [f"{shape.name}: {value!r}"]


@contextmanager
def jobs_on_the_wire(
    folder: Path, image: Mapping[str, str], *, guarded: Guard = lambda application: application
) -> Iterator[SageMakerJobs]:
    """Serve on a free port of loopback; jobs that still run are ended with the block."""
    state = SageMakerJobs(folder, image)
    with served(guarded(json_service(state.answer))) as state.url:
        try:
            yield state
        finally:
            for job in state.jobs.values():
                job.process.kill()
                job.process.wait()
