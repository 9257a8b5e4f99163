"""The verbs that make a model file: train, export."""

import argparse
from pathlib import Path

from mien.cli.words import Verbs, add_force, add_verb, needs, say


class _TrainHelp(argparse.Action):
    """The verb's own options, then every key of a recipe."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        with needs("train", "train"):
            from mien.recipe import format_recipe_help

            say(parser.format_help() + "\n" + format_recipe_help())
        parser.exit()


def add_train(verbs: Verbs) -> None:
    """Add `mien train`."""
    parser = verbs.add_parser(
        "train",
        help="Train a network on a pack by a recipe.",
        description="Train a network on a pack by a recipe. Any key of the recipe can be overridden.",
        epilog="example:\n  mien train --recipe recipes/demo.yaml --pack my.pack --out run --schedule.epochs 10",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument(
        "-h", "--help", nargs=0, action=_TrainHelp, help="show this and every key of a recipe"
    )
    parser.add_argument("--recipe", type=Path, metavar="RECIPE.yaml", help="(default: every key's default)")
    parser.add_argument("--pack", type=Path, metavar="PACK", help="what to learn from")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder to make")
    parser.add_argument(
        "--resume", action="store_true", help="go on in RUN after a kill; begin if it is not there"
    )
    parser.add_argument("--print_config", action="store_true", help="print the resolved recipe and stop")
    add_force(parser)
    parser.set_defaults(run=_run_train, parser=parser)


def _run_train(args: argparse.Namespace) -> None:
    with needs("train", "train"):
        from mien.recipe import format_recipe, read_recipe

    recipe = read_recipe(args.recipe, args.overrides)
    if args.print_config:
        say(format_recipe(recipe).rstrip())
        return
    packs = [args.pack] if args.pack is not None else [Path(path) for path in recipe.data.packs or ()]
    if args.out is None or not packs or (args.pack is not None and recipe.data.packs):
        args.parser.error("--out, and either --pack or the recipe key `data.packs`, are required")
    with needs("train", "train"):
        from mien.train import train

    summary = train(recipe, packs, args.out, resume=args.resume, force=args.force)
    if summary is not None:
        say(summary)


def add_export(verbs: Verbs) -> None:
    """Add `mien export`."""
    parser = add_verb(
        verbs,
        "export",
        "Write a run's chosen network as one calibrated, self-contained ONNX file.",
        "mien export run --out model.onnx",
    )
    parser.add_argument("run_path", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--licence", default="", help="of the weights, written into the file")
    add_force(parser)
    parser.set_defaults(run=_run_export)


def _run_export(args: argparse.Namespace) -> None:
    with needs("export", "train"):
        from mien.export import export

    say(export(args.run_path, args.out, licence=args.licence, force=args.force))
