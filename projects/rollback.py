"""MLproject entry point `rollback`: `python -m projects.rollback`."""

import sys

from projects import run

if __name__ == "__main__":
    run("rollback", sys.argv[1:])
