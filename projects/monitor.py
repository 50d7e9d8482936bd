"""MLproject entry point `monitor`: `python -m projects.monitor`."""

import sys

from projects import run

if __name__ == "__main__":
    run("monitor", sys.argv[1:])
