"""What the container of a SageMaker job runs: `python -m projects.sagemaker COMMAND [--key value]`.

Input    the command, `features`, `train` or `evaluate` (evaluation.py); parameters as arguments
         (processing job) or in input/config/hyperparameters.json (training job) of SageMaker's
         folder, /opt/ml, or SAGEMAKER_BASE_DIR as in AWS's own containers.
Output   the command's exit code. What it said last is what SageMaker shows for a job that failed:
         output/failure (training) or output/message (processing). A training leaves the files of
         its version in model/, which SageMaker archives.
Source   AWS, SageMaker developer guide, "How Amazon SageMaker AI runs your training image", "How
         Amazon SageMaker AI signals algorithm success and failure", "How Amazon SageMaker
         Processing configures input and output for your processing container".
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from projects import run

LONGEST_REASON = 1024


class Told(io.TextIOBase):
    """Passes a stream on, and remembers the last line."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self.stream, self.last = stream, ""

    def write(self, text: str) -> int:
        """Pass on."""
        self.last = next((line for line in reversed(text.splitlines()) if line.strip()), self.last)
        return self.stream.write(text)

    def flush(self) -> None:
        """Pass on."""
        self.stream.flush()


def main(arguments: Sequence[str], base: Path) -> int:
    """Run the command as SageMaker asks it; its exit code."""
    command, *words = arguments
    words += _hyperparameters(base)
    training = command == "train"
    printed, told = io.StringIO(), Told(sys.stderr)  # type: ignore[arg-type] # a text stream
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(printed):
        if command == "evaluate":
            code = _evaluated(base, words)
        else:
            code = _ran(command, [*words, *(("--json", "true") if training else ())])
    sys.stdout.write(printed.getvalue())
    if code:
        reason = base / "output" / ("failure" if training else "message")
        reason.parent.mkdir(parents=True, exist_ok=True)
        reason.write_text(told.last[:LONGEST_REASON], encoding="utf-8")
    elif training:
        _keep(json.loads(printed.getvalue()), base / "model")
    return code


def _hyperparameters(base: Path) -> list[str]:
    """Parameters of a training job, which are all text; none of a processing job."""
    file = base / "input" / "config" / "hyperparameters.json"
    if not file.is_file():
        return []
    told = json.loads(file.read_text(encoding="utf-8"))
    return [word for key, value in told.items() for word in (f"--{key}", value)]


def _ran(command: str, words: Sequence[str]) -> int:
    try:
        run(command, words, switches=("--json",))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


def _evaluated(base: Path, words: Sequence[str]) -> int:
    from mlops_bikeshare.cli.failures import explain
    from projects.evaluation import evaluate

    try:
        told = evaluate(base, dict(zip(words[::2], words[1::2], strict=True))["--city"])
    except Exception as error:
        said = explain(error)
        if said is None:
            raise
        sys.stderr.write(f"bikeshare: {said[0]}\n")
        return said[1]
    sys.stdout.write(f"{json.dumps(told)}\n")
    return 0


def _keep(trained: dict[str, str], folder: Path) -> None:
    """Copy the version that a training registered to where SageMaker archives from."""
    from mlops_bikeshare.registry import versions
    from mlops_bikeshare.settings import load

    city = load(Path.cwd(), os.environ, {}).city(trained["city"])
    version = versions.find(city.registered_model, trained["version"])
    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        shutil.copytree(versions.download(version, Path(scratch)), folder, dirs_exist_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))))
