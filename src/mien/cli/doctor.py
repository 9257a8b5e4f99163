"""`mien doctor`: check the machine."""

import argparse
import sys

from mien.cli.parser import Commands, add_command


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, "doctor", "Show what this machine has, what is missing, and how to get it.", "mien doctor"
    )
    parser.add_argument("--markdown", action="store_true", help="print tables for a bug report")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings."""
    from mien.doctor.report import run_doctor

    return run_doctor(sys.stdout, markdown=args.markdown)
