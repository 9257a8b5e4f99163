"""The verbs that use a model file and its reports: evaluate, predict, compare."""

import argparse
import sys
from pathlib import Path

from mien.cli.words import Verbs, add_force, add_model, add_verb, positive, say, share, warn


def add_evaluate(verbs: Verbs) -> None:
    """Add `mien evaluate`."""
    parser = add_verb(
        verbs,
        "evaluate",
        "Measure a model file on a pack and write a report.",
        "mien evaluate --model model.onnx --pack my.pack --out report",
    )
    add_model(parser)
    parser.add_argument("--pack", type=Path, required=True, metavar="PACK")
    parser.add_argument("--split", default="val", help="train, val or test (default: val)")
    parser.add_argument("--out", type=Path, required=True, metavar="REPORT", help="folder to make")
    parser.add_argument(
        "--flip-average",
        action="store_true",
        help="read every face mirrored as well, at twice the work, and report the averaged readings beside the rest",
    )
    add_force(parser)
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(args: argparse.Namespace) -> None:
    from mien.evaluate import evaluate

    say(
        evaluate(
            args.model,
            args.pack,
            out=args.out,
            split=args.split,
            flip_average=args.flip_average,
            force=args.force,
        )
    )


def add_predict(verbs: Verbs) -> None:
    """Add `mien predict`."""
    parser = add_verb(
        verbs,
        "predict",
        "Read the faces of pictures.",
        "mien predict photo.jpg holiday/ --out faces.jsonl --draw drawn",
    )
    parser.add_argument("sources", type=Path, nargs="+", metavar="IMAGE_OR_FOLDER")
    add_model(parser)
    parser.add_argument(
        "--crop",
        choices=("detect", "whole"),
        default="detect",
        help="detect: find the faces; whole: every picture is one cropped face (default: detect)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="a .jsonl, .csv or .parquet file (default: a table)"
    )
    parser.add_argument(
        "--classes",
        type=int,
        choices=(7, 8, 11),
        help="answer among AffectNet's first 7 (no Contempt), 8 or 11 classes (default: all that the model knows)",
    )
    parser.add_argument(
        "--min-confidence",
        type=share,
        default=0.0,
        metavar="P",
        help="call a face `unsure` where the likeliest class is less probable than P, 0 to 1 (default: 0)",
    )
    parser.add_argument(
        "--top",
        type=positive,
        metavar="K",
        help="tell the K likeliest classes (default: all in files, 1 in a table)",
    )
    parser.add_argument("--draw", type=Path, metavar="DIR", help="write annotated copies there")
    parser.add_argument("--detector", type=Path, metavar="FILE", help="YuNet's file (default: looked for)")
    add_force(parser)
    parser.set_defaults(run=_run_predict)


def _run_predict(args: argparse.Namespace) -> None:
    from mien.predict.command import PredictOptions, run_predict
    from mien.reading.answers import AnswerRule

    options = PredictOptions(
        crop=args.crop,
        detector_path=args.detector,
        rule=AnswerRule(args.classes, args.min_confidence, args.top),
        out=args.out,
        draw=args.draw,
        force=args.force,
    )
    summary = run_predict(args.sources, args.model, options=options, stream=sys.stdout, announce=warn)
    warn(str(summary))


def add_compare(verbs: Verbs) -> None:
    """Add `mien compare`."""
    parser = add_verb(
        verbs,
        "compare",
        "Put reports of the same faces side by side, with a paired test.",
        "mien compare report_a report_b --plot compared.png",
    )
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT")
    parser.add_argument(
        "--group",
        action="store_true",
        help="a row for each group of reports whose paths differ in seed-<number> alone: mean and spread over seeds",
    )
    parser.add_argument("--protocol", default="all", help="which faces and classes count (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the comparison")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the figures with their intervals")
    add_force(parser)
    parser.set_defaults(run=_run_compare)


def _run_compare(args: argparse.Namespace) -> None:
    from mien.compare import compare, compare_groups

    run = compare_groups if args.group else compare
    say(run(args.reports, out=args.out, plot=args.plot, protocol=args.protocol, force=args.force))
