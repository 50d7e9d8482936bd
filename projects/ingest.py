"""MLproject entry point `ingest`: `python -m projects.ingest`."""

import sys

from projects import run

if __name__ == "__main__":
    run("ingest", sys.argv[1:])
