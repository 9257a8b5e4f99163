"""`mien compare`: put reports side by side."""

import argparse
from pathlib import Path

from mien.cli.output import print_result
from mien.cli.parser import Verbs, add_options, add_verb, read_options, requires_extra
from mien.compare.options import CompareOptions


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
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
    from mien.compare.grouped import compare_groups
    from mien.compare.stage import compare

    options = read_options(CompareOptions, args)
    if options.plot is not None:
        with requires_extra("compare --plot", "data"):
            import matplotlib as mpl  # noqa: F401 - plotted at the end, too late to find it missing
    summary = (compare_groups if args.group else compare)(
        args.reports,
        out=options.out,
        plot=options.plot,
        protocol=options.protocol,
        force=options.force,
    )
    print_result(summary)
