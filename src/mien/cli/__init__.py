"""The command line: one thin function per verb. Heavy imports happen inside the verb that needs them."""

import argparse
import sys
from collections.abc import Sequence

import mien
from mien.cli.data import add_browse, add_prepare, add_sample
from mien.cli.machine import add_bench, add_doctor
from mien.cli.reading import add_compare, add_evaluate, add_predict
from mien.cli.serving import add_page, add_serve
from mien.cli.training import add_export, add_train
from mien.cli.words import Parser
from mien.errors import MienError
from mien.terminal import on_one_line

DESCRIPTION = """\
Facial-expression recognition: a labelled face set goes in, one small ONNX file comes out that reads
expression, 68 landmarks and valence/arousal on a CPU, with an honest report of how good it is.

  raw set --prepare--> pack --train--> run --export--> model.onnx --evaluate--> report
                                                           |--predict--> predictions
                                                           `--serve----> HTTP API + web page

`mien predict photo.jpg` works at once, with the model in the box.
"""
EXIT_CODES = "Exit codes: 0 done, 1 an expected failure told in one line, 2 wrong usage."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. A bug keeps its traceback."""
    parser = build_parser()
    try:
        known, rest = parser.parse_known_args(arguments)
        if rest and known.verb != "train":
            parser.error(f"unrecognized arguments: {on_one_line(' '.join(rest))}")
        if known.verb == "train":
            known.overrides = rest
        return int(known.run(known) or 0)
    except MienError as error:
        sys.stderr.write(f"mien: {on_one_line(str(error))}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("mien: stopped\n")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every verb."""
    parser = Parser(
        prog="mien",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mien {mien.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in (
        add_sample,
        add_prepare,
        add_browse,
        add_train,
        add_export,
        add_evaluate,
        add_predict,
        add_compare,
        add_serve,
        add_page,
        add_doctor,
        add_bench,
    ):
        add(verbs)
    return parser
