"""The operations API as a process of its own, asked over a real socket."""

import os
import subprocess
import sys
from pathlib import Path

import httpx

TOKEN = "a token of tests"  # noqa: S105 - of tests


class Api:
    """`bikeshare api` on a free port; it may be killed and started again."""

    def __init__(self, home: Path, workspace: str = "main") -> None:
        self.home, self.workspace = home, workspace
        self.start()

    def start(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIKESHARE", "MLFLOW"))}
        words = ["--workspace", self.workspace, "api", "--port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlops_bikeshare", *words],
            cwd=self.home,
            env={**kept, "BIKESHARE_API__TOKEN": TOKEN, "BIKESHARE_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("operations API at http://127.0.0.1:"), line
        self.url = line.split()[-1]
        signed = {"authorization": f"Bearer {TOKEN}"}
        self.client = httpx.Client(base_url=self.url, headers=signed, timeout=330, trust_env=False)

    def end(self, *, kill: bool = False) -> int:
        """Stop it, or end it at once; its exit code."""
        self.client.close()
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(30)
