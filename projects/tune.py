"""MLproject entry point `tune`: `python -m projects.tune`."""

import sys

from projects import run

if __name__ == "__main__":
    run("tune", sys.argv[1:])
