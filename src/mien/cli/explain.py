"""`mien explain`: why a model answers as it does."""

import argparse
import sys
from functools import partial
from pathlib import Path

from mien.cli.output import print_result
from mien.cli.parser import (
    LOCAL_PATH,
    PACK_HELP,
    Commands,
    add_command,
    add_model,
    add_options,
    read_options,
    require_packages,
    requires_extra,
)
from mien.explain.options import ExplainOptions
from mien.runtime.addresses import path_or_address


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "explain",
        "Explain predictions: for each face, a map of what the prediction depends on, the most similar training faces, and how "
        "often such a prediction is right.",
        "mien explain photo.jpg --out why\n"
        "  mien explain photo.jpg --target Sad --pack my.pack --report report --out why\n"
        "  mien explain --pack my.pack --key val/0001.jpg --out why",
    )
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="image, folder of images, quoted glob pattern, or URL of a photo; - reads a list of these from standard input. "
        "The exit code is 1 if not one of them can be read",
    )
    add_model(parser)
    parser.add_argument(
        "--run", type=Path, metavar="RUN", help="run that the model was exported from: adds maps by integrated gradients",
        dest="run_path",
    )  # fmt: skip
    parser.add_argument(
        "--pack",
        type=path_or_address,
        metavar="PACK",
        help=f"adds the most similar training faces; {PACK_HELP}",
    )
    parser.add_argument("--out", type=LOCAL_PATH, required=True, metavar="DIR", help="folder to create")
    add_options(parser, ExplainOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Explain the faces."""
    options = read_options(ExplainOptions, args)
    if not args.images and not options.keys:
        args.parser.error("name an image, folder or URL, or a face of a pack with --key")
    require_packages("explain", "data", "jinja2")
    from mien.explain.stage import explain
    from mien.inference.media_sources import read_list, require_readable

    pack, open_gradients = args.pack, None
    if pack is not None:
        with requires_extra("explain --pack", "data"):
            from mien.formats.remote import fetch_pack
        pack = fetch_pack(pack)
    if args.run_path is not None:
        with requires_extra("explain --run", "train"):
            from mien.nets.integrated_gradients import open_gradient_map
        open_gradients = partial(open_gradient_map, args.run_path)
    summary = explain(
        args.images,
        args.model,
        out=args.out,
        options=options,
        pack=pack,
        open_gradients=open_gradients,
        lines=read_list(sys.stdin),
    )
    print_result(summary)
    n_read = summary.n_images - summary.n_unreadable
    require_readable(n_read, summary.n_unreadable, summary.n_images)
