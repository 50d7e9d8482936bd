"""MLproject entry point `main`: `python -m projects.main`."""

import sys

from projects import run

if __name__ == "__main__":
    run("demo", sys.argv[1:])
