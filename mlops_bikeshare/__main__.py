"""`python -m mlops_bikeshare` is `bikeshare`."""

import sys

from mlops_bikeshare.cli import main

if __name__ == "__main__":
    sys.exit(main())
