"""MLproject entry point `promote`: `python -m projects.promote`."""

import sys

from projects import run

if __name__ == "__main__":
    run("promote", sys.argv[1:], switches=["--canary"])
