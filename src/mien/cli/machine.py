"""The verb that looks at the machine: doctor."""

import argparse
import sys

from mien.cli.words import Verbs, add_verb


def add_doctor(verbs: Verbs) -> None:
    """Add `mien doctor`."""
    parser = add_verb(
        verbs, "doctor", "Say what this machine has, what is missing, and how to get it.", "mien doctor"
    )
    parser.add_argument("--markdown", action="store_true", help="as tables, for a bug report")
    parser.set_defaults(run=_run_doctor)


def _run_doctor(args: argparse.Namespace) -> int:
    from mien.doctor import run_doctor

    return run_doctor(sys.stdout, markdown=args.markdown)
