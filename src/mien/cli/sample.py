"""`mien sample`: draw a face set."""

import argparse

from mien.cli.output import print_result
from mien.cli.parser import LOCAL_PATH, Commands, add_command, add_options, read_options
from mien.sample.options import SampleOptions


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "sample",
        "Draw a synthetic face set in AffectNet's layout, to try mien out.",
        "mien sample faces",
    )
    parser.add_argument("out", type=LOCAL_PATH, metavar="OUT", help="folder to create")
    add_options(parser, SampleOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Draw the set."""
    from mien.sample.write import write_sample

    options = read_options(SampleOptions, args)
    summary = write_sample(
        args.out,
        n_faces=options.n_faces,
        seed=options.seed,
        workers=options.workers,
        force=options.force,
    )
    print_result(summary)
