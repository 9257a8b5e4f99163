"""`mien export`: write a run as one model file."""

import argparse
from pathlib import Path

from mien.cli.output import print_result
from mien.cli.parser import Verbs, add_force, add_options, add_verb, read_options, requires_extra
from mien.export.options import Int8Options


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "export",
        "Write the best network of a run as one calibrated, self-contained ONNX file.",
        "mien export run --out model.onnx",
    )
    parser.add_argument("run_path", type=Path, metavar="RUN", help="folder written by `mien train`")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL.onnx", help="file to write")
    parser.add_argument("--licence", default="", help="license of the weights, stored in the file")
    parser.add_argument(
        "--int8",
        action="store_true",
        help="quantize to a quarter of the size if accuracy does not suffer; needs --calibrate",
    )
    add_options(parser, Int8Options)
    add_force(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Export the run."""
    int8 = read_options(Int8Options, args)
    if args.int8 != bool(int8.packs):
        args.parser.error("--int8 needs --calibrate PACK, the run's pack, and --calibrate needs --int8")
    if int8.float_layers and not args.int8:
        args.parser.error("--float-layers needs --int8")
    with requires_extra("export", "train"):
        from mien.export.stage import export

    summary = export(
        args.run_path,
        args.out,
        licence=args.licence,
        int8=int8 if args.int8 else None,
        force=args.force,
    )
    print_result(summary)
