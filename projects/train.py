"""MLproject entry point `train`: `python -m projects.train`."""

import sys

from projects import run

if __name__ == "__main__":
    run("train", sys.argv[1:])
