"""`python -m mien`: the command, for where the script is not on the path."""

import sys

from mien.cli import main

sys.exit(main())
