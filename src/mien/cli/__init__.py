"""The command line: one module per verb, each with `add_parser`. Heavy imports happen inside the verb that needs them."""

import argparse
import io
import sys
from collections.abc import Sequence

import mien
from mien.cli import (
    bench,
    browse,
    compare,
    doctor,
    evaluate,
    export,
    page,
    predict,
    prepare,
    sample,
    serve,
    teach,
    train,
)
from mien.cli.output import log_to_stderr, print_notice
from mien.cli.parser import Parser
from mien.errors import MienError
from mien.runtime.terminal import on_one_line

DESCRIPTION = """\
Facial-expression recognition: train on a labeled face set, export one small ONNX file that predicts
expression, 68 landmarks and valence/arousal on a CPU, and report honestly how good it is.

  raw set --prepare--> pack --train--> run --export--> model.onnx --evaluate--> report
                                                           |--predict--> predictions
                                                           `--serve----> HTTP API + web page

`mien predict photo.jpg` works right away, with the bundled model; `mien teach` gives it classes of your own. `mien VERB --help` explains a verb.
"""
EPILOG = """\
exit codes:
  0    success
  1    an expected failure, reported in one line on standard error
  2    wrong usage, or an error in a recipe
  130  interrupted with Ctrl-C
  143  training ended by SIGTERM; --resume continues it
"""
# In the order of the help.
VERBS = (
    sample,
    prepare,
    browse,
    train,
    export,
    teach,
    evaluate,
    predict,
    compare,
    serve,
    page,
    doctor,
    bench,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. A bug keeps its traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and classes are in any script; a terminal or a pipe may be in ASCII or a code page.
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = build_parser()
    if not arguments:
        parser.exit(2, parser.format_help())
    try:
        known, rest = parser.parse_known_args(arguments)
        if known.verb == "train":
            known.overrides = rest
        elif rest:
            known.parser.error(f"unrecognized arguments: {on_one_line(' '.join(rest))}")
        with log_to_stderr(quiet=known.quiet):
            return int(known.run(known) or 0)
    except MienError as error:
        print_notice(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print_notice("stopped")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every verb."""
    parser = Parser(prog="mien", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"mien {mien.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(verbs)
    return parser
