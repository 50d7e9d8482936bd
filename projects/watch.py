"""MLproject entry point `watch`: `python -m projects.watch`."""

import sys

from projects import run

if __name__ == "__main__":
    run("watch", sys.argv[1:])
