"""The command line: one thin function per verb. Heavy imports happen inside the verb that needs them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import mien
from mien.errors import MienError, MissingExtraError

DESCRIPTION = """\
Facial-expression recognition: a labelled face set goes in, one small ONNX file comes out that reads
expression, 68 landmarks and valence/arousal on a CPU, with an honest report of how good it is.

  raw set --prepare--> pack --train--> run --export--> model.onnx --evaluate--> report
                                                           `--predict--> predictions
"""
EXIT_CODES = "Exit codes: 0 done, 1 an expected failure told in one line, 2 wrong usage."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. A bug keeps its traceback."""
    parser = build_parser()
    known, rest = parser.parse_known_args(arguments)
    if rest and known.verb != "train":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if known.verb == "train":
        known.overrides = rest
    try:
        return int(known.run(known) or 0)
    except MienError as error:
        sys.stderr.write(f"mien: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("mien: stopped\n")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _say(text: object) -> None:
    sys.stdout.write(f"{text}\n")


def _warn(text: str) -> None:
    sys.stderr.write(f"mien: {text}\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every verb."""
    parser = argparse.ArgumentParser(
        prog="mien",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mien {mien.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in (
        _add_sample,
        _add_prepare,
        _add_browse,
        _add_train,
        _add_export,
        _add_evaluate,
        _add_predict,
        _add_compare,
        _add_doctor,
    ):
        add(verbs)
    return parser


Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _verb(verbs: Verbs, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


_positive.__name__ = "whole number"


def _add_sample(verbs: Verbs) -> None:
    parser = _verb(
        verbs, "sample", "Draw a face set in AffectNet's own layout, to try mien on.", "mien sample faces"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    parser.add_argument(
        "--faces",
        type=_positive,
        default=3000,
        metavar="N",
        help="usable faces, both splits together (default: 3000)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed draws the same set")
    parser.add_argument("--workers", type=_positive, metavar="N", help="processes (default: one per core)")
    _add_force(parser)
    parser.set_defaults(run=_run_sample)


def _run_sample(args: argparse.Namespace) -> None:
    from mien.sample import write_sample

    _say(write_sample(args.out, n_faces=args.faces, seed=args.seed, workers=args.workers, force=args.force))


def _add_prepare(verbs: Verbs) -> None:
    parser = _verb(
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
    parser.add_argument("--workers", type=_positive, metavar="N", help="processes (default: one per core)")
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
        "--val-fraction",
        type=float,
        default=0.1,
        metavar="F",
        help="kept for val in sets without splits (0.1)",
    )
    _add_force(parser)
    parser.set_defaults(run=_run_prepare, parser=parser)


def _run_prepare(args: argparse.Namespace) -> None:
    from mien.prepare import PrepareOptions, prepare
    from mien.sources.opening import SourceOptions

    for name, low, high in (("size", 16, 1024), ("margin", 0, 2), ("val_fraction", 0, 0.9)):
        if not low <= getattr(args, name) <= high:
            args.parser.error(f"--{name.replace('_', '-')} must be from {low} to {high}")
    options = PrepareOptions(
        size=args.size,
        crop=args.crop,
        margin=args.margin,
        workers=args.workers,
        detector_path=args.detector,
        annotations=args.annotations,
        source=SourceOptions(votes=args.votes, val_fraction=args.val_fraction, landmarks_csv=args.landmarks),
        force=args.force,
    )
    _say(prepare(args.kind, args.raw, args.out, options, announce=_warn))


def _add_browse(verbs: Verbs) -> None:
    parser = _verb(
        verbs, "browse", "Draw a sheet of a pack's faces, by class.", "mien browse my.pack --out sheet.png"
    )
    parser.add_argument("pack", type=Path, metavar="PACK")
    parser.add_argument("--out", type=Path, required=True, metavar="SHEET.png")
    parser.add_argument(
        "--per-class", type=_positive, default=10, metavar="N", help="faces a class (default: 10)"
    )
    parser.add_argument("--split", default="train", help="train, val or test (default: train)")
    parser.add_argument("--seed", type=int, default=0, help="which faces are taken")
    _add_force(parser)
    parser.set_defaults(run=_run_browse)


def _run_browse(args: argparse.Namespace) -> None:
    from mien.browse import browse

    browse(args.pack, args.out, per_class=args.per_class, split=args.split, seed=args.seed, force=args.force)
    _say(f"sheet: {args.out}")


class _TrainHelp(argparse.Action):
    """The verb's own options, then every key of a recipe."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        with _needs("train", "train"):
            from mien.recipe import format_recipe_help

            _say(parser.format_help() + "\n" + format_recipe_help())
        parser.exit()


def _add_train(verbs: Verbs) -> None:
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
    _add_force(parser)
    parser.set_defaults(run=_run_train, parser=parser)


class _needs:  # noqa: N801 - reads as a word: with _needs("train", "train")
    """Turns the absence of an extra's packages into one line that names the install command."""

    def __init__(self, verb: str, extra: str) -> None:
        self.verb, self.extra = verb, extra

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("mien"):
            raise MissingExtraError(self.verb, self.extra) from error


def _run_train(args: argparse.Namespace) -> None:
    with _needs("train", "train"):
        from mien.recipe import format_recipe, read_recipe

    recipe = read_recipe(args.recipe, args.overrides)
    if args.print_config:
        _say(format_recipe(recipe).rstrip())
        return
    if args.pack is None or args.out is None:
        args.parser.error("--pack and --out are required")
    with _needs("train", "train"):
        from mien.train import train

    summary = train(recipe, args.pack, args.out, resume=args.resume, force=args.force)
    if summary is not None:
        _say(summary)


def _add_export(verbs: Verbs) -> None:
    parser = _verb(
        verbs,
        "export",
        "Write a run's chosen network as one calibrated, self-contained ONNX file.",
        "mien export run --out model.onnx",
    )
    parser.add_argument("run_path", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--licence", default="", help="of the weights, written into the file")
    _add_force(parser)
    parser.set_defaults(run=_run_export)


def _run_export(args: argparse.Namespace) -> None:
    with _needs("export", "train"):
        from mien.export import export

    _say(export(args.run_path, args.out, licence=args.licence, force=args.force))


def _add_evaluate(verbs: Verbs) -> None:
    parser = _verb(
        verbs,
        "evaluate",
        "Measure a model file on a pack and write a report.",
        "mien evaluate --model model.onnx --pack my.pack --out report",
    )
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--pack", type=Path, required=True, metavar="PACK")
    parser.add_argument("--split", default="val", help="train, val or test (default: val)")
    parser.add_argument("--out", type=Path, required=True, metavar="REPORT", help="folder to make")
    _add_force(parser)
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(args: argparse.Namespace) -> None:
    from mien.evaluate import evaluate

    _say(evaluate(args.model, args.pack, split=args.split, out=args.out, force=args.force))


def _add_predict(verbs: Verbs) -> None:
    parser = _verb(
        verbs,
        "predict",
        "Read the faces of pictures with a model file.",
        "mien predict photo.jpg holiday/ --model model.onnx --out faces.jsonl --draw drawn",
    )
    parser.add_argument("sources", type=Path, nargs="+", metavar="IMAGE_OR_FOLDER")
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument(
        "--crop",
        choices=("detect", "whole"),
        default="detect",
        help="detect: find the faces; whole: every picture is one cropped face (default: detect)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="a .jsonl or .csv file (default: a table)")
    parser.add_argument("--draw", type=Path, metavar="DIR", help="write annotated copies there")
    parser.add_argument("--detector", type=Path, metavar="FILE", help="YuNet's file (default: looked for)")
    _add_force(parser)
    parser.set_defaults(run=_run_predict)


def _run_predict(args: argparse.Namespace) -> None:
    from mien.predict.command import PredictOptions, run_predict

    options = PredictOptions(
        crop=args.crop, detector_path=args.detector, out=args.out, draw=args.draw, force=args.force
    )
    summary = run_predict(args.sources, args.model, options=options, stream=sys.stdout, announce=_warn)
    _warn(str(summary))


def _add_compare(verbs: Verbs) -> None:
    parser = _verb(
        verbs,
        "compare",
        "Put reports of the same faces side by side, with a paired test.",
        "mien compare report_a report_b --plot compared.png",
    )
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT")
    parser.add_argument("--protocol", default="all", help="which faces and classes count (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the comparison")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the bars with their intervals")
    _add_force(parser)
    parser.set_defaults(run=_run_compare)


def _run_compare(args: argparse.Namespace) -> None:
    from mien.compare import compare

    _say(compare(args.reports, out=args.out, plot=args.plot, protocol=args.protocol, force=args.force))


def _add_doctor(verbs: Verbs) -> None:
    parser = _verb(
        verbs, "doctor", "Say what this machine has, what is missing, and how to get it.", "mien doctor"
    )
    parser.add_argument("--markdown", action="store_true", help="as tables, for a bug report")
    parser.set_defaults(run=_run_doctor)


def _run_doctor(args: argparse.Namespace) -> int:
    from mien.doctor import run_doctor

    return run_doctor(sys.stdout, markdown=args.markdown)
