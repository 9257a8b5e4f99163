"""`mien cite`: what to cite for a model."""

import argparse

from mien.cli.output import print_result
from mien.cli.parser import Commands, add_command


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "cite",
        "Print what to cite for a model file as BibTeX: its data, the methods of its recipe, the software.",
        "mien cite model.onnx > references.bib",
    )
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="file written by `mien export`, or name of a bundled model (default: the bundled default model)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the references."""
    from mien.cite.stage import cite

    print_result(cite(args.model))
