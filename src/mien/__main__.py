"""`python -m mien`: the same command as `mien`."""

import sys

from mien.cli import main
from mien.runtime.child_process import end_with_parent

if __name__ == "__main__":
    sys.argv[0] = "mien"
    end_with_parent()
    sys.exit(main())
