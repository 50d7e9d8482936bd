"""MLproject entry point `infer`: `python -m projects.infer`."""

import sys

from projects import run

if __name__ == "__main__":
    run("infer", sys.argv[1:])
