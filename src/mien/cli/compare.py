"""`mien compare`: put reports side by side."""

import argparse
from pathlib import Path

from mien.cli.output import print_result
from mien.cli.parser import Commands, add_command, add_options, read_options, require_packages
from mien.compare.options import CompareOptions


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "compare",
        "Compare reports on the same faces side by side, with a paired test.",
        "mien compare report_a report_b --plot compared.png",
    )
    parser.add_argument(
        "reports", type=Path, nargs="+", metavar="REPORT", help="folders written by `mien evaluate`"
    )
    parser.add_argument(
        "--group",
        action="store_true",
        help="one row per group of reports whose paths differ only in seed-<number>: mean and standard deviation over "
        "seeds",
    )
    add_options(parser, CompareOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Compare the reports."""
    if len(args.reports) < 2:
        args.parser.error("a comparison needs two reports or more, got one")
    from mien.compare.grouped import compare_groups
    from mien.compare.stage import compare

    options = read_options(CompareOptions, args)
    if options.plot is not None:
        require_packages("compare --plot", "data", "matplotlib")
    summary = (compare_groups if args.group else compare)(
        args.reports,
        out=options.out,
        plot=options.plot,
        protocol=options.protocol,
        force=options.force,
    )
    print_result(summary)
