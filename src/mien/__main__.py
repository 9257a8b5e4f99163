"""`python -m mien`: the same command as `mien`."""

import sys

from mien.cli import main
from mien.lifeline import hold_lifeline

if __name__ == "__main__":
    sys.argv[0] = "mien"
    hold_lifeline()
    sys.exit(main())
