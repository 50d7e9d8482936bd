"""MLproject entry point `retrain`: `python -m projects.retrain`."""

import sys

from projects import run

if __name__ == "__main__":
    run("retrain", sys.argv[1:], switches=("--check", "--force"))
