"""MLproject entry point `gate`: `python -m projects.gate`."""

import sys

from projects import run

if __name__ == "__main__":
    run("gate", sys.argv[1:])
