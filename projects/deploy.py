"""MLproject entry point `deploy`: `python -m projects.deploy`."""

import sys

from projects import run

if __name__ == "__main__":
    run("deploy", sys.argv[1:], switches=["--initial"])
