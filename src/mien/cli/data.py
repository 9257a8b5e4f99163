"""The verbs that make and show packs: sample, prepare, browse."""

import argparse
from pathlib import Path

from mien.cli.words import Verbs, add_force, add_verb, needs, positive, say, warn


def add_sample(verbs: Verbs) -> None:
    """Add `mien sample`."""
    parser = add_verb(
        verbs, "sample", "Draw a face set in AffectNet's own layout, to try mien on.", "mien sample faces"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    parser.add_argument(
        "--faces",
        type=positive,
        default=3000,
        metavar="N",
        help="usable faces, both splits together (default: 3000)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed draws the same set")
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (default: one per core)")
    add_force(parser)
    parser.set_defaults(run=_run_sample)


def _run_sample(args: argparse.Namespace) -> None:
    from mien.sample import write_sample

    say(write_sample(args.out, n_faces=args.faces, seed=args.seed, workers=args.workers, force=args.force))


def add_prepare(verbs: Verbs) -> None:
    """Add `mien prepare`."""
    parser = add_verb(
        verbs,
        "prepare",
        "Turn a raw set into a pack of cropped, verified faces. The raw set is never written to.",
        "mien prepare affectnet AffectNet/ --out affectnet.pack",
    )
    parser.add_argument("kind", choices=("affectnet", "ferplus", "folder", "csv"), help="what RAW is")
    parser.add_argument("raw", type=Path, metavar="RAW", help="the set's folder, or a CSV file")
    parser.add_argument("--out", type=Path, required=True, metavar="PACK", help="folder to make")
    parser.add_argument(
        "--size", type=int, default=256, metavar="PX", help="side of the crops (default: 256)"
    )
    parser.add_argument(
        "--crop",
        choices=("aligned", "box", "whole"),
        help="aligned: upright by eyes and mouth; box: square around the face box; whole: the picture as it is "
        "(default: what suits the set)",
    )
    parser.add_argument(
        "--margin", type=float, default=0.1, metavar="F", help="around the face (default: 0.1)"
    )
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--annotations", type=Path, metavar="DIR", help="also write train.txt, val.txt there")
    parser.add_argument("--detector", type=Path, metavar="FILE", help="YuNet's file, for faces without a box")
    parser.add_argument(
        "--votes",
        choices=("majority", "plurality"),
        default="majority",
        help="FER+: the rule that labels a face",
    )
    parser.add_argument("--landmarks", type=Path, metavar="CSV", help="FER+: landmarks by picture name")
    parser.add_argument(
        "--label-names",
        metavar="L=CLASS,...",
        help="folder, csv: the class of each label or folder, such as 1=Surprise,2=Fear; or `affectnet`, whose numbers are "
        "0 Neutral to 7 Contempt (default: names that say it themselves)",
    )
    parser.add_argument(
        "--split-column",
        metavar="NAME",
        help="csv: the column of words or paths that say train, val or test, or `none` (default: split)",
    )
    parser.add_argument(
        "--val-fraction",
        type=float,
        default=0.1,
        metavar="F",
        help="kept for val in sets without splits (0.1)",
    )
    add_force(parser)
    parser.set_defaults(run=_run_prepare, parser=parser)


def _run_prepare(args: argparse.Namespace) -> None:
    from mien.prepare import PrepareOptions, prepare
    from mien.sources.labels import parse_label_names
    from mien.sources.opening import SourceOptions

    for name, low, high in (("size", 16, 1024), ("margin", 0, 2), ("val_fraction", 0, 0.9)):
        if not low <= getattr(args, name) <= high:
            args.parser.error(f"--{name.replace('_', '-')} must be from {low} to {high}")
    try:
        label_names = None if args.label_names is None else parse_label_names(args.label_names)
    except ValueError as error:
        args.parser.error(f"--label-names {error}")
    options = PrepareOptions(
        size=args.size,
        crop=args.crop,
        margin=args.margin,
        workers=args.workers,
        detector_path=args.detector,
        annotations=args.annotations,
        source=SourceOptions(
            votes=args.votes,
            val_fraction=args.val_fraction,
            landmarks_csv=args.landmarks,
            label_names=label_names,
            split_column=args.split_column,
        ),
        force=args.force,
    )
    say(prepare(args.kind, args.raw, args.out, options, announce=warn))


def add_browse(verbs: Verbs) -> None:
    """Add `mien browse`."""
    parser = add_verb(
        verbs,
        "browse",
        "Draw a sheet of a pack's faces, by class; with --recipe, as training by it would show them.",
        "mien browse my.pack --out sheet.png --recipe demo",
    )
    parser.add_argument("pack", type=Path, metavar="PACK")
    parser.add_argument("--out", type=Path, required=True, metavar="SHEET.png")
    parser.add_argument("--recipe", metavar="RECIPE", help="change and mix the faces as this recipe does")
    parser.add_argument(
        "--per-class",
        type=positive,
        default=10,
        metavar="N",
        help="faces a class, with --recipe changed versions of one (default: 10)",
    )
    parser.add_argument(
        "--split", default="train", help="train, val or test (default: train, all that --recipe changes)"
    )
    parser.add_argument("--seed", type=int, default=0, help="which faces are taken")
    add_force(parser)
    parser.set_defaults(run=_run_browse, parser=parser)


def _run_browse(args: argparse.Namespace) -> None:
    if args.recipe is None:
        from mien.browse import browse
        from mien.fonts import tell_missing
        from mien.pack import Pack

        tell_missing(Pack.open(args.pack).info.classes, warn)
        browse(
            args.pack, args.out, per_class=args.per_class, split=args.split, seed=args.seed, force=args.force
        )
    else:
        _browse_by_recipe(args)
    say(f"sheet: {args.out}")


def _browse_by_recipe(args: argparse.Namespace) -> None:
    from mien.browse import draw_rows, require_picture_ending
    from mien.fonts import tell_missing
    from mien.pack import Pack

    if args.split != "train":
        args.parser.error(
            "--recipe shows faces of the train split, which is the only one that is learnt from"
        )
    require_picture_ending(args.out)
    with needs("browse --recipe", "train"):
        from mien.recipe import read_recipe
        from mien.train.preview import preview_faces

    recipe = read_recipe(args.recipe, [])
    rows = preview_faces(recipe, Pack.open(args.pack), n_versions=args.per_class, seed=args.seed)
    tell_missing([row.title for row in rows], warn)
    draw_rows(rows, args.out, input_size=recipe.data.input_size, force=args.force)
