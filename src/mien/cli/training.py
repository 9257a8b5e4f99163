"""The verbs that make a model file: train, export."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mien.artifacts import claim_output
from mien.cli.options import Verbs, add_force, add_verb, needs, positive, say
from mien.errors import RecipeError

if TYPE_CHECKING:
    from mien.recipe import Recipe


class _TrainHelp(argparse.Action):
    """The verb's own options, then every key of a recipe, which the extra knows."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        say(parser.format_help())
        with needs("train", "train"):
            from mien.recipe import format_recipe_help

            say(format_recipe_help())
        parser.exit()


def add_train(verbs: Verbs) -> None:
    """Add `mien train`."""
    parser = verbs.add_parser(
        "train",
        help="Train a network on a pack by a recipe.",
        description="Train a network on a pack by a recipe. Any key of the recipe can be overridden.",
        epilog="example:\n  mien train --recipe demo --pack my.pack --out run --schedule.epochs 10",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument(
        "-h", "--help", nargs=0, action=_TrainHelp, help="show this and every key of a recipe"
    )
    parser.add_argument(
        "--recipe",
        metavar="RECIPE",
        help="the name of a bundled recipe, listed below, or a YAML file (default: every key's default)",
    )
    parser.add_argument(
        "--pack",
        type=Path,
        action="append",
        metavar="PACK",
        help="what to train on; given again for each of several",
    )
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder to make")
    parser.add_argument(
        "--resume", action="store_true", help="go on in RUN after a kill; begin if it is not there"
    )
    parser.add_argument("--print_config", action="store_true", help="print the resolved recipe and stop")
    parser.add_argument(
        "--plan",
        action="store_true",
        help="say what the run would be and stop; with --out FILE.png also draw its learning rates",
    )
    _add_series(parser)
    add_force(parser)
    parser.set_defaults(run=_run_train, parser=parser)


def _add_series(parser: argparse.ArgumentParser) -> None:
    """Add what makes several runs of one command."""
    parser.add_argument(
        "--seeds", type=positive, metavar="N", help="train with N seeds, the recipe's and those after it"
    )
    parser.add_argument(
        "--sweep",
        action="append",
        metavar="KEY=V1,V2,...",
        help="train with each value of a recipe key; given again, with every combination",
    )
    parser.add_argument(
        "--folds", type=int, metavar="K", help="train K times, each without one K-th of train"
    )


def _run_train(args: argparse.Namespace) -> int:
    with needs("train", "train"):
        from mien.recipe import format_recipe, read_recipe

    _require_once(args.overrides)
    recipe = read_recipe(args.recipe, args.overrides)
    if args.print_config:
        say(format_recipe(recipe).rstrip())
        return 0
    packs = args.pack or [Path(path) for path in recipe.data.packs or ()]
    if args.plan:
        return _plan(args, recipe, packs)
    if args.out is None or not packs or (args.pack is not None and recipe.data.packs):
        args.parser.error("--out, and either --pack or the recipe key `data.packs`, are required")
    if args.seeds is not None or args.sweep or args.folds is not None:
        return _run_series(args, packs)
    with needs("train", "train"):
        from mien.train import train

    summary = train(recipe, packs, args.out, resume=args.resume, force=args.force)
    if summary is not None:
        say(summary)
    return 0


def _require_once(overrides: list[str]) -> None:
    """Refuse a recipe key that is given twice: the first value would be lost without a word."""
    keys = [word.partition("=")[0] for word in overrides if word.startswith("--")]
    for place, key in enumerate(keys):
        if key in keys[:place]:
            raise RecipeError(f"`{key}` is given twice, and takes one value. Give it once")


def _plan(args: argparse.Namespace, recipe: "Recipe", packs: list[Path]) -> int:
    """Say what a run would be. A RUN given as --out is left alone, so that --plan can be added to any command."""
    if not packs or (args.pack is not None and recipe.data.packs):
        args.parser.error("--plan needs either --pack or the recipe key `data.packs`")
    if args.seeds is not None or args.sweep or args.folds is not None:
        raise RecipeError("`--plan` is of one run. Leave out `--seeds`, `--sweep` and `--folds`")
    image = args.out if args.out is not None and args.out.suffix.lower() == ".png" else None
    if image is not None and not args.force:
        claim_output(image, force=False)
    with needs("train", "train"):
        from mien.train.dry_run.plan import plan_training

    plan = plan_training(recipe, packs)
    say(plan)
    if image is not None:
        plan.draw(image, force=args.force)
        say(f"\nlearning rates: {image}")
    return 0


def _run_series(args: argparse.Namespace, packs: list[Path]) -> int:
    """Train several runs; one that fails has told why itself."""
    with needs("train", "train"):
        from mien.experiments.cross_validation import plan_folds, train_folds
        from mien.experiments.series import RunFailed, Series
        from mien.experiments.sweep import plan_sweep, train_sweep

    if args.folds is not None and (args.seeds is not None or args.sweep):
        raise RecipeError("`--folds` cannot be combined with `--seeds` or `--sweep`. Give one of them")
    options = {"resume": args.resume, "force": args.force}
    try:
        if args.folds is not None:
            runs = plan_folds(args.recipe, args.overrides, args.folds)
            say(train_folds(Series(args.out, "folds", tuple(packs), runs), **options))
        else:
            runs = plan_sweep(args.recipe, args.overrides, args.sweep or [], args.seeds)
            say(train_sweep(Series(args.out, "sweep", tuple(packs), runs), **options))
    except RunFailed as failed:
        return failed.exit_code
    return 0


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
    parser.add_argument(
        "--int8",
        action="store_true",
        help="write a quarter of the size, if accuracy bears it; needs --calibrate",
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        action="append",
        metavar="PACK",
        help="the run's pack, for --int8; given again for each of several",
    )
    parser.add_argument(
        "--float-layers", nargs="+", default=[], metavar="NAME", help="layers that --int8 leaves in float"
    )
    add_force(parser)
    parser.set_defaults(run=_run_export, parser=parser)


def _run_export(args: argparse.Namespace) -> None:
    if args.int8 != bool(args.calibrate):
        args.parser.error("--int8 needs --calibrate PACK, the run's pack, and --calibrate is for --int8")
    if args.float_layers and not args.int8:
        args.parser.error("--float-layers is for --int8")
    with needs("export", "train"):
        from mien.export import Int8Options, export

    int8 = Int8Options(tuple(args.calibrate), tuple(args.float_layers)) if args.int8 else None
    say(export(args.run_path, args.out, licence=args.licence, int8=int8, force=args.force))
