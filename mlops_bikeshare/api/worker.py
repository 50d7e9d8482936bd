"""The process that does the jobs, one after the other; started and watched by `Worker`.

Input    `python -m mlops_bikeshare.api.worker ROOT WORKSPACE`; a line on standard input says that
         there may be something to do. When it closes, whoever started the process is gone, and it
         ends at once, whatever it does: nobody would hear of the result.
Output   what became of each job, in `jobs.db`.

A process of its own keeps a training from holding up answers, and what crashes it from the API.
"""

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from mlops_bikeshare.api.doing import DOES
from mlops_bikeshare.api.jobs import Job, Jobs
from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.errors import BikeshareError, Refused
from mlops_bikeshare.domain.wording import masked
from mlops_bikeshare.settings import Settings, load

log = logging.getLogger(__name__)
JOBS = "jobs.db"
# A process that ends so often without having begun a job is not started again by itself.
_IN_VAIN = 3


class Worker:
    """Keeps one worker process while there is something to do; `settle` is told when it ends.

    `command` runs the process; `kept`: open files that it holds too, for as long as it lives.
    """

    def __init__(
        self,
        jobs: Jobs,
        command: Sequence[str],
        *,
        settle: Callable[[str], None],
        kept: Sequence[int] = (),
    ) -> None:
        self._jobs, self._command, self._settle, self._kept = jobs, command, settle, kept
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()
        self._stopping = False
        self._watching: threading.Thread | None = None
        self._in_vain = 0

    def wake(self) -> None:
        """Let it look for something to do; start it if it does not run."""
        with self._changing:
            if self._stopping:
                return
            if self._process is None:
                self._start()
            self._tell()

    def stop(self) -> None:
        """End it, whatever it does."""
        with self._changing:
            self._stopping = True
            process, watching = self._process, self._watching
        if process is not None:
            process.kill()
        if watching is not None:
            watching.join()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=self._kept,
        )
        self._watching = threading.Thread(target=self._watch, args=(self._process,), daemon=True)
        self._watching.start()

    def _tell(self) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            # one that has just ended is started anew by the thread that watches it
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(b"\n")
                process.stdin.flush()

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the end; the job that was under way is settled, the others are gone on with."""
        code = process.wait()
        self._in_vain = 0 if self._jobs.running() else self._in_vain + 1
        self._settle("the API was stopped" if self._stopping else f"its process ended ({code})")
        with self._changing:
            self._process = None
            if process.stdin is not None:  # not before: who wakes it meanwhile still writes there
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            if self._stopping or self._in_vain >= _IN_VAIN or not self._jobs.waiting():
                return
            log.warning("the worker ended (%s); another one goes on", code)
            self._start()
            self._tell()


def command(settings: Settings) -> list[str]:
    """What runs the process for a workspace."""
    return [sys.executable, "-m", __name__, str(settings.root), settings.workspace]


def main(root: str, workspace: str) -> None:
    """Do jobs until standard input closes."""
    settings = load(Path(root), os.environ, {"workspace": workspace})
    jobs = Jobs(settings.var / JOBS)
    looks: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(looks,), daemon=True).start()
    while True:
        looks.get()
        while (job := jobs.begin_next()) is not None:
            _do(open_workspace(settings), jobs, job)


def _listen(looks: "queue.Queue[bytes]") -> None:
    for line in sys.stdin.buffer:
        looks.put(line)
    os._exit(1)


def _do(ws: Workspace, jobs: Jobs, job: Job) -> None:
    try:
        result = DOES[job.kind](ws, ws.settings.city(job.city), job.asked)
    except Refused as refused:
        jobs.end(job.id, "refused", error=masked(str(refused)))
    except BikeshareError as error:
        jobs.end(job.id, "failed", error=masked(str(error)))
    except Exception as error:
        log.exception("job %s (%s) failed in a way that nobody foresaw", job.id, job.kind)
        jobs.end(job.id, "failed", error=f"unforeseen {type(error).__name__}: see the log")
    else:
        jobs.end(job.id, "done", result=result)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    main(*sys.argv[1:])
