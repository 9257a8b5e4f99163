"""`mien export`: write a run as one model file, or a pack as Parquet files."""

import argparse
from pathlib import Path

from mien.cli.output import print_result
from mien.cli.parser import (
    LOCAL_PATH,
    Commands,
    add_command,
    add_force,
    add_options,
    read_options,
    requires_extra,
)
from mien.export.options import Int8Options


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "export",
        "Write the best network of a run as one calibrated, self-contained ONNX file, or the faces of a pack as Parquet "
        "files for other programs.",
        "mien export run --out model.onnx\n  mien export faces.pack --out faces-parquet",
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="RUN",
        help="folder written by `mien train`, or a pack written by `mien prepare`",
    )
    parser.add_argument(
        "--out",
        type=LOCAL_PATH,
        required=True,
        metavar="MODEL.onnx",
        help="file to write; for a pack, the folder",
    )
    parser.add_argument("--license", default="", help="license of the weights, stored in the file")
    parser.add_argument(
        "--quality-rule",
        type=Path,
        metavar="RULE.json",
        help="thresholds beyond which a face counts as too dark, blurred, small or covered for this network; default: general thresholds",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="quantize to a quarter of the size if accuracy does not suffer; needs --calibrate",
    )
    add_options(parser, Int8Options)
    add_force(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Export the run or the pack."""
    int8 = read_options(Int8Options, args)
    if args.int8 != bool(int8.packs):
        args.parser.error("--int8 needs --calibrate PACK, the run's pack, and --calibrate needs --int8")
    if int8.float_layers and not args.int8:
        args.parser.error("--float-layers needs --int8")
    if (args.source / "pack.json").is_file():
        if args.int8 or args.license or args.quality_rule:
            args.parser.error("--int8, --license and --quality-rule are for a run, not for a pack")
        with requires_extra("export", "data"):
            from mien.export.pack import export_pack

        print_result(export_pack(args.source, args.out, force=args.force))
        return
    with requires_extra("export", "train"):
        from mien.export.stage import export

    summary = export(
        args.source,
        args.out,
        license=args.license,
        int8=int8 if args.int8 else None,
        quality_rule=args.quality_rule,
        force=args.force,
    )
    print_result(summary)
