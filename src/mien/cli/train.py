"""`mien train`: train one network by a recipe, or several for seeds, a sweep or cross-validation."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mien.artifacts import claim_output
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
from mien.errors import RecipeError
from mien.experiments.options import SeriesOptions
from mien.runtime.addresses import path_or_address

if TYPE_CHECKING:
    from mien.recipe import Recipe


class _PrintHelp(argparse.Action):
    """Prints the command's own options, then every key of a recipe, which needs the extra."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print_result(parser.format_help())
        with requires_extra("train", "train"):
            from mien.recipe import format_recipe_help

            print_result(format_recipe_help())
        parser.exit()


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "train",
        "Train a network on a pack, as a recipe describes. Any key of the recipe can be overridden.",
        "mien train --recipe demo --pack my.pack --out run --schedule.epochs 10",
        add_help=False,
    )
    parser.add_argument(
        "-h", "--help", nargs=0, action=_PrintHelp, help="show this help and every key of a recipe"
    )
    parser.add_argument(
        "--recipe",
        metavar="RECIPE",
        help="YAML file, or name of a bundled recipe, listed below (default: every key's default)",
    )
    parser.add_argument(
        "--pack",
        type=path_or_address,
        action="append",
        metavar="PACK",
        help="pack to train on, or its address, such as s3://bucket/my.pack, in place of those that the recipe names; "
        "repeat for several packs",
    )
    parser.add_argument(
        "--keep-out",
        type=LOCAL_PATH,
        action="append",
        default=[],
        metavar="FOLDER_OR_PACK",
        help="images or a pack of faces to keep out of training, such as a test set that is in no PACK; copies of them "
        "in train are left out and counted; repeat for several",
    )
    parser.add_argument("--out", type=LOCAL_PATH, metavar="RUN", help="folder to create")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="resume an interrupted RUN; start it if it does not exist, and do nothing if it is finished",
    )
    parser.add_argument("--print_config", action="store_true", help="print the resolved recipe and exit")
    parser.add_argument(
        "--plan",
        action="store_true",
        help="print what the run would do and exit; with --out FILE.png also plot its learning rates",
    )
    add_options(parser, SeriesOptions)
    add_force(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, or show what would be trained."""
    with requires_extra("train", "train"):
        from mien.formats.remote import fetch_pack
        from mien.recipe import format_recipe

    recipe = _read_recipe(args)
    if args.print_config:
        print_result(format_recipe(recipe).rstrip())
        return 0
    series = read_options(SeriesOptions, args)
    if series.evaluate is not None and not series.is_series:
        args.parser.error(
            "--evaluate needs --seeds, --sweep or --folds; for a single run, use `mien export` and `mien evaluate`"
        )
    if series.evaluate is None and series.evaluate_split != SeriesOptions.evaluate_split:
        args.parser.error("--evaluate-split needs --evaluate")
    named = args.pack or [path_or_address(path) for path in recipe.data.packs or ()]
    packs = [fetch_pack(pack) for pack in named]
    if args.plan:
        return plan_run(args, recipe, packs, series)
    if args.out is None or not packs:
        args.parser.error("--out, and either --pack or the recipe key `data.packs`, are required")
    if series.is_series:
        return run_series(args, packs, series)
    with requires_extra("train", "train"):
        from mien.train.stage import train

    summary = train(recipe, packs, args.out, resume=args.resume, force=args.force)
    if summary is not None:
        print_result(summary)
    return 0


def _read_recipe(args: argparse.Namespace) -> "Recipe":
    """Read the recipe. Options that stand for a key become overrides: runs record them, and series pass them on."""
    from mien.recipe import read_recipe

    if args.keep_out:
        args.overrides.append(
            f"--data.keep_out={json.dumps([str(path.absolute()) for path in args.keep_out])}"
        )
    keys = [word.partition("=")[0] for word in args.overrides if word.startswith("--")]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise RecipeError(f"`{key}` is given twice but takes one value. Give it once")
    if args.pack and "--data.packs" in keys:
        args.parser.error("--pack and --data.packs both name the packs. Give one of them")
    if args.pack:  # in place of the packs that the recipe names
        args.overrides.append("--data.packs=null")
    try:
        return read_recipe(args.recipe, args.overrides)
    except RecipeError as error:
        hint = "" if "Did you mean" in str(error) else args.parser.suggest(args.overrides)
        raise RecipeError(f"{error}{hint}") from None


def plan_run(args: argparse.Namespace, recipe: "Recipe", packs: list[Path], series: SeriesOptions) -> int:
    """Print what a run would do. --out RUN is not touched, so that --plan can be added to any command."""
    if not packs:
        args.parser.error("--plan needs either --pack or the recipe key `data.packs`")
    if series != SeriesOptions():
        raise RecipeError(
            "`--plan` shows a single run. Remove `--seeds`, `--sweep`, `--folds` and `--evaluate`"
        )
    image = args.out if args.out is not None and args.out.suffix.lower() == ".png" else None
    if image is not None and not args.force:
        claim_output(image, force=False)
    with requires_extra("train", "train"):
        from mien.train.dry_run.plan import plan_training

    plan = plan_training(recipe, packs)
    print_result(plan)
    if image is not None:
        plan.draw(image, force=args.force)
        print_result(f"\nlearning rates: {image}")
    return 0


def run_series(args: argparse.Namespace, packs: list[Path], options: SeriesOptions) -> int:
    """Train several runs; one that fails has already said why."""
    with requires_extra("train", "train"):
        from mien.experiments.cross_validation import plan_folds, train_folds
        from mien.experiments.evaluation import evaluate_series, require_split
        from mien.experiments.series import RunFailed, Series
        from mien.experiments.sweep import plan_sweep, train_sweep

    if options.folds is not None and (options.seeds is not None or options.sweep):
        raise RecipeError("`--folds` cannot be combined with `--seeds` or `--sweep`. Give one of them")
    if options.evaluate is not None:
        require_split(options.evaluate, options.evaluate_split)
    try:
        if options.folds is not None:
            runs = plan_folds(args.recipe, args.overrides, options.folds)
            series = Series(args.out, "folds", tuple(packs), runs)
            print_result(train_folds(series, resume=args.resume, force=args.force))
        else:
            runs = plan_sweep(args.recipe, args.overrides, list(options.sweep), options.seeds)
            series = Series(args.out, "sweep", tuple(packs), runs)
            print_result(train_sweep(series, resume=args.resume, force=args.force))
        if options.evaluate is not None:
            found = evaluate_series(series, options.evaluate, split=options.evaluate_split)
            print_result(f"\nreport: {found}" if isinstance(found, Path) else f"\n{found}")
    except RunFailed as failed:
        return failed.exit_code
    return 0
