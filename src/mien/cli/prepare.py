"""`mien prepare`: turn a raw data set into a pack."""

import argparse
import textwrap
from dataclasses import fields
from pathlib import Path

from mien.cli.output import print_notice, print_result
from mien.cli.parser import Verbs, add_options, add_verb, path_or_address, read_options, requires_extra
from mien.datasets.registry import DATASETS, DatasetOptions
from mien.prepare.options import PrepareOptions


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "prepare",
        "Turn a raw data set into a pack of cropped, verified faces. The raw set is never modified.",
        "mien prepare affectnet AffectNet/ --out affectnet.pack",
    )
    parser.add_argument("kind", choices=tuple(DATASETS), help="kind of the raw set, see below")
    parser.add_argument(
        "raw",
        type=path_or_address,
        metavar="RAW",
        help="the set's folder, a CSV file, or the address of a folder, such as s3://bucket/set",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="PACK", help="folder to create")
    add_options(parser, PrepareOptions)
    flags = {field.name: field.metadata["flag"] for field in fields(DatasetOptions)}
    lines = []
    for name, kind in DATASETS.items():
        crop = f"Crop: {kind.natural_crop}."
        takes = f" Takes {', '.join(flags[option] for option in kind.options)}." if kind.options else ""
        text = f"{name:11}{kind.layout}. {crop}{takes}"
        lines += textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent=" " * 13)
    parser.epilog = "\n".join(["kinds:", *lines, "", parser.epilog or ""])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prepare the set."""
    with requires_extra("prepare", "data"):
        from mien.formats.remote import fetch_raw_set
        from mien.prepare.stage import prepare

    options = read_options(PrepareOptions, args)
    print_result(prepare(args.kind, fetch_raw_set(args.raw), args.out, options, announce=print_notice))
