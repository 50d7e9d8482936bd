"""MLproject entry point `features`: `python -m projects.features`."""

import sys

from projects import run

if __name__ == "__main__":
    run("features", sys.argv[1:])
