"""`mien bench`: time a prediction."""

import argparse

from mien.bench.options import BenchOptions
from mien.cli.output import print_result
from mien.cli.parser import LOCAL_PATH, Commands, add_command, add_force, add_model, add_options, read_options


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "bench",
        "Time detection, cropping and inference on this machine.",
        "mien bench --photo photo.jpg --threads 2",
    )
    add_model(parser)
    add_options(parser, BenchOptions)
    parser.add_argument("--out", type=LOCAL_PATH, metavar="FILE.json", help="also write the timings as JSON")
    add_force(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Time the steps."""
    from mien.bench.stage import bench
    from mien.faces.detector import load_detector

    options = read_options(BenchOptions, args)
    detector = load_detector()
    print_result(bench(args.model, detector, options, out=args.out, force=args.force))
