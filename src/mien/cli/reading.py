"""The verbs that use a model file and its reports: evaluate, predict, compare."""

import argparse
import sys
from pathlib import Path

from mien.cli.words import (
    Verbs,
    add_force,
    add_model,
    add_verb,
    camera_index,
    positive,
    say,
    seconds,
    share,
    warn,
)


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
        "Read the faces of pictures, videos and cameras.",
        "mien predict photo.jpg holiday/ 'shots/*.png' --out faces.jsonl --draw drawn\n"
        "  mien predict talk.mp4 --out talk.csv --timeline talk.png --draw drawn\n"
        "  mien predict --camera 0 --show --max-seconds 60",
    )
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="a picture, a video, a folder of these, a pattern in quotes, a camera's index, an rtsp:// or http(s):// "
        "address, or - for a list of these on standard input",
    )
    parser.add_argument(
        "--camera", type=camera_index, metavar="N", help="read the camera of this index: 0 is the first"
    )
    add_model(parser)
    parser.add_argument(
        "--crop",
        choices=("detect", "whole"),
        default="detect",
        help="detect: find the faces; whole: every picture and frame is one cropped face (default: detect)",
    )
    _add_answers(parser)
    _add_outputs(parser)
    _add_video_options(parser)
    parser.add_argument("--detector", type=Path, metavar="FILE", help="YuNet's file (default: looked for)")
    add_force(parser)
    parser.set_defaults(run=lambda args: _run_predict(args, parser))


def _add_answers(parser: argparse.ArgumentParser) -> None:
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


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="a .jsonl, .csv or .parquet file (default: a table, and of a video a few lines)",
    )
    parser.add_argument(
        "--draw", type=Path, metavar="DIR", help="write annotated pictures and videos (.mp4) there"
    )
    parser.add_argument(
        "--timeline",
        type=Path,
        metavar="FILE",
        help="draw what each person of the one video showed over time, as .png or .svg",
    )
    parser.add_argument(
        "--show", action="store_true", help="show the video in a window while it is read; q or Esc closes it"
    )


def _add_video_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every",
        type=positive,
        default=3,
        metavar="K",
        help="look for faces in every K-th frame of a video and follow them between (default: 3)",
    )
    parser.add_argument(
        "--no-smoothing", action="store_true", help="give what each frame shows, not smoothed over time"
    )
    parser.add_argument(
        "--max-seconds", type=seconds, metavar="S", help="read the first S seconds of a video or camera"
    )
    parser.add_argument(
        "--frames", type=positive, metavar="N", help="read the first N frames of a video or camera"
    )


def _run_predict(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from mien.predict.command import PredictOptions, run_predict
    from mien.reading.answers import AnswerRule
    from mien.reading.smoothing import SMOOTHING_S
    from mien.reading.watch import WatchOptions

    sources = [*args.sources, *([] if args.camera is None else [args.camera])]
    if not sources:
        parser.error("name a picture, video, folder, camera or address")
    options = PredictOptions(
        crop=args.crop,
        detector_path=args.detector,
        rule=AnswerRule(args.classes, args.min_confidence, args.top),
        video=WatchOptions(
            detect_every=args.every,
            smoothing_s=0.0 if args.no_smoothing else SMOOTHING_S,
            max_frames=args.frames,
            max_seconds=args.max_seconds,
        ),
        out=args.out,
        draw=args.draw,
        timeline=args.timeline,
        show=args.show,
        force=args.force,
    )
    summary = run_predict(
        sources, args.model, options=options, stream=sys.stdout, announce=warn, lines=sys.stdin
    )
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
    say(
        run(
            args.reports,
            out=args.out,
            plot=args.plot,
            protocol=args.protocol,
            force=args.force,
            announce=warn,
        )
    )
