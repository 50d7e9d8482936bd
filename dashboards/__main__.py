"""`python -m dashboards --port PORT --workspace NAME`: become the dashboard's server."""

import argparse
import os

from dashboards.launch import command

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dashboards")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--workspace")
    given = parser.parse_args()
    start = command(port=given.port, workspace=given.workspace)
    os.execv(start[0], start)  # noqa: S606 - no shell; Ctrl-C reaches the server itself
