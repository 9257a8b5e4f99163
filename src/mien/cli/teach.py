"""`mien teach`: a model file with other classes, from a few labeled photographs."""

import argparse

from mien.cli.output import print_result
from mien.cli.parser import (
    LOCAL_PATH,
    Commands,
    add_command,
    add_model,
    add_options,
    read_options,
    requires_extra,
)
from mien.teach.options import TeachOptions


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "teach",
        "Give a model your own classes from a few labeled photographs, in seconds and without torch: at least five faces per "
        "class, preferably twenty, of different people. Prints the cross-validated accuracy, and writes nothing if the classes "
        "cannot be told apart.",
        "mien teach faces/ --out mine.onnx                  # faces/yawn/*.jpg, faces/calm/*.jpg\n"
        "  mien teach faces.csv --out mine.onnx --person-column who\n"
        "  mien teach faces/ --out mine.onnx --keep-classes   # faces/yawn, and faces/Neutral as an example of what is not\n"
        "  mien predict photo.jpg --model mine.onnx",
    )
    parser.add_argument(
        "source",
        type=LOCAL_PATH,
        metavar="FACES",
        help="a folder with a folder of photographs for each class, or a CSV with the columns path, label and, if known, person",
    )
    parser.add_argument("--out", type=LOCAL_PATH, required=True, metavar="MODEL.onnx", help="file to write")
    add_model(parser)
    add_options(parser, TeachOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Teach."""
    options = read_options(TeachOptions, args)
    with requires_extra("teach", "data"):
        from mien.teach.stage import run_teach

    print_result(run_teach(args.source, args.out, args.model, options))
