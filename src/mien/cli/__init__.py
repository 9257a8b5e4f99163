"""The command line: one module per command, each with `add_parser`. Heavy imports happen inside the command that needs them."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence

import mien
from mien.cli import (
    audit,
    bench,
    browse,
    cite,
    compare,
    completion,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    page,
    predict,
    prepare,
    push,
    sample,
    serve,
    teach,
    train,
)
from mien.cli.output import (
    abandon_stdout,
    is_from_stream,
    log_to_stderr,
    print_notice,
    replace_closed_streams,
)
from mien.cli.parser import Parser
from mien.errors import MienError
from mien.runtime.terminal import on_one_line

DESCRIPTION = """\
Facial-expression recognition: predict with the bundled model (eight expressions and 68 landmarks, on a CPU), or train
on labeled faces, export a single small ONNX file, and report its accuracy with confidence intervals.

  raw dataset --prepare--> pack --train--> run --export--> model.onnx --evaluate--> report
                                                               |--predict--> predictions
                                                               |--serve----> HTTP API + web page
                                                               `--teach----> model.onnx with your own classes

`mien predict photo.jpg` works right away, with the bundled model. `mien COMMAND --help` explains a command.
"""
EPILOG = """\
exit codes:
  0    success
  1    an expected failure, reported in one line on standard error
  2    wrong usage, or an error in a recipe
  130  interrupted with Ctrl-C
  143  training ended by SIGTERM; --resume continues it
"""
# For `mien` without a command.
SHORT_HELP = """\
usage: mien COMMAND ...

  mien predict photo.jpg --draw drawn   expressions of the faces in images, folders and videos
  mien predict --camera 0 --show        the same for a camera, live
  mien serve                            an HTTP API and a web page
  mien teach FACES --out mine.onnx      a model with your own classes, from a few photographs of each
  mien demo                             the full pipeline on drawn faces, in a few minutes
  mien prepare auto FOLDER              recognize a labeled face set, and print how to prepare it for training
  mien doctor                           what this machine has and lacks

`mien --help` lists all commands, `mien COMMAND --help` explains one.
"""
# In the order of the help.
COMMANDS = (
    *(
        predict,
        serve,
        page,
        teach,
        explain,
        prepare,
        browse,
        audit,
        train,
        export,
        evaluate,
        compare,
        cite,
        push,
        demo,
        sample,
        doctor,
        bench,
    ),
    completion,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. A bug keeps its traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    replace_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and classes are in any script; a terminal or a pipe may be in ASCII or a code page.
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        completion.complete(parser)
    if not arguments:
        parser.exit(2, SHORT_HELP)
    try:
        known, rest = parser.parse_known_args(arguments)
        if known.command == "train":
            known.overrides = rest
        elif rest:
            known.parser.error(
                f"unrecognized arguments: {on_one_line(' '.join(rest))}{known.parser.suggest(rest)}"
            )
        with log_to_stderr(quiet=known.quiet):
            exit_code = int(known.run(known) or 0)
        sys.stdout.flush()
    except MienError as error:
        print_notice(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print_notice("stopped")
        return 130
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            name = str(error.filename)
            print_notice(
                f"A name of {len(name):,} characters is too long for a file: {name[:200]}. Pass a path"
            )
            return 1
        if not is_from_stream(error):
            raise
        return abandon_stdout(error)
    return exit_code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = Parser(prog="mien", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"mien {mien.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser
