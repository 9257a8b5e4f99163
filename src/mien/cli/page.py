"""`mien page`: the web page as a folder."""

import argparse

from mien.cli.output import print_result
from mien.cli.parser import (
    LOCAL_PATH,
    Commands,
    add_command,
    add_detector,
    add_force,
    add_model,
    add_options,
    read_options,
)
from mien.inference.label_sets import CoverageOptions


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "page",
        "Write the web page that predicts in the browser to a folder, for any web server.",
        "mien page site",
    )
    parser.add_argument("out", type=LOCAL_PATH, metavar="OUT", help="folder to create")
    add_model(parser)
    add_detector(parser)
    add_options(parser, CoverageOptions)
    add_force(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    from mien.serve.site import write_page

    n_files = write_page(
        args.out,
        args.model,
        detector=args.detector,
        sets=read_options(CoverageOptions, args),
        force=args.force,
    )
    print_result(f"{args.out}: {n_files} files")
