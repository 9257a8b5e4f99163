"""`mien browse`: draw a sheet of a pack's faces."""

import argparse
from pathlib import Path

from mien.browse.options import BrowseOptions
from mien.cli.output import print_result
from mien.cli.parser import (
    LOCAL_PATH,
    PACK_HELP,
    Commands,
    add_command,
    add_options,
    read_options,
    requires_extra,
)
from mien.runtime.addresses import path_or_address


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "browse",
        "Draw a contact sheet of a pack's faces by class; with --recipe, as the recipe augments them for training.",
        "mien browse my.pack --out sheet.png --recipe demo\n"
        "  mien browse my.pack --out units.png --by action_units",
    )
    parser.add_argument("pack", type=path_or_address, metavar="PACK", help=PACK_HELP)
    parser.add_argument("--out", type=LOCAL_PATH, required=True, metavar="SHEET.png", help="image to write")
    parser.add_argument("--recipe", metavar="RECIPE", help="augment and mix the faces as this recipe does")
    add_options(parser, BrowseOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Draw the sheet."""
    options = read_options(BrowseOptions, args)
    with requires_extra("browse", "data"):
        from mien.formats.remote import fetch_pack

    args.pack = fetch_pack(args.pack, split=options.split)
    if args.recipe is None:
        with requires_extra("browse", "data"):
            from mien.browse.stage import browse

        browse(
            args.pack,
            args.out,
            per_class=options.per_class,
            by=options.by,
            split=options.split,
            seed=options.seed,
            force=options.force,
        )
    elif options.split != "train":
        args.parser.error("--recipe shows faces of the train split, the only one that is trained on")
    elif options.by != "expression":
        args.parser.error("--by is for the faces as they are in the pack: leave out --recipe")
    else:
        draw_augmented(args.pack, args.out, args.recipe, options)
    print_result(f"sheet: {args.out}")


def draw_augmented(pack_path: Path, out: Path, recipe_name: str, options: BrowseOptions) -> None:
    """Draw a sheet of faces as a recipe augments them."""
    with requires_extra("browse --recipe", "train"):
        from mien.browse.sheet import require_image_suffix
        from mien.browse.stage import draw_rows
        from mien.formats.pack import Pack
        from mien.recipe import read_recipe
        from mien.train.dataset import network_crop
        from mien.train.dry_run.augmentations import preview_faces
        from mien.train.starting_weights import adopt_network

    require_image_suffix(out)
    pack, recipe = Pack.open(pack_path), read_recipe(recipe_name, [])
    recipe = adopt_network(recipe, network_crop([pack], recipe.data))
    rows = preview_faces(recipe, pack, n_versions=options.per_class, seed=options.seed)
    draw_rows(rows, out, input_size=recipe.data.input_size, force=options.force)
