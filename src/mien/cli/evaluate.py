"""`mien evaluate`: measure a model on a pack."""

import argparse

from mien.cli.output import print_result
from mien.cli.parser import (
    LOCAL_PATH,
    PACK_HELP,
    Commands,
    add_command,
    add_model,
    add_options,
    read_options,
    requires_extra,
)
from mien.evaluate.options import EvaluateOptions
from mien.runtime.addresses import path_or_address
from mien.runtime.options import given_options


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "evaluate",
        "Measure a model on a pack and write a report.",
        "mien evaluate --model model.onnx --pack my.pack --out report",
    )
    add_model(parser)
    parser.add_argument(
        "--pack",
        type=path_or_address,
        metavar="PACK",
        help=f"{PACK_HELP} (required, except with --counterfactual)",
    )
    parser.add_argument("--out", type=LOCAL_PATH, required=True, metavar="REPORT", help="folder to create")
    add_options(parser, EvaluateOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluate the model."""
    options = read_options(EvaluateOptions, args)
    if args.pack is None and not options.counterfactual:
        args.parser.error("the following arguments are required: --pack")
    given = [name for name in ("groups", "flip_average") if getattr(options, name)]
    if args.pack is None and given:
        args.parser.error(f"--{given[0].replace('_', '-')} needs the faces of a --pack")
    changed = {entry.name for entry, _ in given_options(options)}
    if "min_group" in changed and not options.groups:
        args.parser.error("--min-group is for --groups: add it")
    if "drawn" in changed and not options.counterfactual:
        args.parser.error("--drawn is for --counterfactual: add it")
    with requires_extra("evaluate", "data"):
        from mien.evaluate.report import write_report  # noqa: F401 - loaded now, so that it is not missed at the end
        from mien.evaluate.stage import evaluate, evaluate_drawn
        from mien.formats.remote import fetch_pack

    drawn = None
    if options.counterfactual:
        from mien.sample.variants import DrawnVariants

        drawn = DrawnVariants(options.drawn)
    if args.pack is None and drawn is not None:
        print_result(
            evaluate_drawn(args.model, drawn, out=args.out, language=options.language, force=options.force)
        )
        return
    summary = evaluate(
        args.model,
        fetch_pack(args.pack, split=options.split),
        out=args.out,
        split=options.split,
        flip_average=options.flip_average,
        groups=options.groups,
        min_group=options.min_group,
        drawn=drawn,
        language=options.language,
        force=options.force,
    )
    print_result(summary)
