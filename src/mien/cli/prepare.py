"""`mien prepare`: turn a raw dataset into a pack."""

import argparse
import textwrap
from dataclasses import replace

from mien.cli.output import print_result
from mien.cli.parser import Commands, add_command, add_options, read_options, requires_extra
from mien.datasets.registry import DATASETS
from mien.prepare.options import AUTO, PrepareOptions
from mien.runtime.addresses import path_or_address


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "prepare",
        "Turn a raw dataset into a pack of cropped, verified faces. The raw dataset is never modified.",
        "mien prepare affectnet AffectNet/ --out affectnet.pack",
    )
    parser.add_argument("kind", choices=(*DATASETS, AUTO), help="kind of the raw dataset, see below")
    parser.add_argument(
        "raw",
        type=path_or_address,
        metavar="RAW",
        help="the set's folder, a CSV file, or the address of a folder, such as s3://bucket/set",
    )
    parser.add_argument(
        "--out",
        type=path_or_address,
        metavar="PACK",
        help="folder to create, or the address of one (required, except by auto)",
    )
    add_options(parser, PrepareOptions)
    lines = []
    for kind_name, kind in DATASETS.items():
        crop = f"Crop: {kind.natural_crop}."
        takes = f" Takes {', '.join(kind.flags)}." if kind.options else ""
        text = f"{kind_name:12}{kind.layout}. {crop}{takes}"
        lines += textwrap.wrap(
            text, 78, initial_indent="  ", subsequent_indent=" " * 14, break_on_hyphens=False
        )
    lines += textwrap.wrap(
        f"{AUTO:12}says which of these a set looks like and why, shows ten rows, and prints the command that prepares it. "
        "Writes nothing.",
        78,
        initial_indent="  ",
        subsequent_indent=" " * 14,
    )
    parser.epilog = "\n".join(["kinds:", *lines, "", parser.epilog or ""])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prepare the set."""
    options = read_options(PrepareOptions, args)
    if args.out is None and args.kind != AUTO:
        args.parser.error("the following arguments are required: --out")
    with requires_extra("prepare", "data"):
        from mien.formats.remote import fetch_raw_set
        from mien.formats.stores import output_path, without_secrets
        from mien.prepare.auto import describe_set
        from mien.prepare.stage import prepare

    raw = fetch_raw_set(args.raw)
    if args.kind == AUTO:
        print_result(describe_set(raw, options.dataset, args.parser.arguments, args.out))
        return
    with output_path(args.out, index="pack.json", force=options.force) as out:
        summary = prepare(args.kind, raw, out, options)
    shown = without_secrets(args.out) if isinstance(args.out, str) else args.out
    print_result(replace(summary, out=shown))
