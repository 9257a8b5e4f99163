"""`mien demo`: the full pipeline on drawn faces, by the commands that a user types."""

import argparse
import shlex
from pathlib import Path

from mien.cli.output import print_notice, print_result
from mien.cli.parser import Commands, add_command, add_force, require_packages

NEXT = """\
{out} has the face set, the pack, the run, the model and the report. These faces are drawn: the model has learned
drawings. To go on:

  {out}/report/report.html                              open it in a browser
  mien predict photo.jpg --draw drawn                   the bundled model, which was trained on photographs
  mien serve                                            the same as an HTTP API and a web page
  mien prepare auto FOLDER_OF_LABELED_FACES             your own faces: says how to prepare them
  mien train --recipe fine_tune --pack faces.pack --out run
"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "demo",
        "Run the full pipeline on drawn faces: draw, prepare, browse, train, export, evaluate. Takes a few minutes "
        "without a GPU, and about 170 MB.",
        "mien demo",
    )
    parser.add_argument(
        "out", type=Path, nargs="?", default=Path("demo"), metavar="OUT", help="folder (default: demo)"
    )
    add_force(parser)
    parser.set_defaults(run=run)


def list_commands(out: Path) -> list[list[str]]:
    """Return the commands of the pipeline, without `mien`."""
    faces, pack, run, model = (str(out / name) for name in ("faces", "faces.pack", "run", "model.onnx"))
    return [
        ["sample", faces],
        ["prepare", "affectnet", faces, "--out", pack, "--size", "64"],
        ["browse", pack, "--out", str(out / "faces.png")],
        ["train", "--recipe", "demo", "--pack", pack, "--out", run],
        ["export", run, "--out", model],
        ["evaluate", "--model", model, "--pack", pack, "--out", str(out / "report")],
    ]


def run(args: argparse.Namespace) -> int:
    """Run the commands one after the other, each in a process of its own."""
    require_packages("demo", "train", "pyarrow", "matplotlib", "torch", "lightning", "onnxscript")
    from mien.artifacts import claim_output
    from mien.runtime.child_process import run_command

    if not args.force:
        claim_output(args.out, force=False)
    for words in list_commands(args.out):
        print_notice(f"$ mien {shlex.join(words)}")
        options = ["--force"] * args.force + ["--quiet"] * args.quiet
        if exit_code := run_command([*words, *options]):
            return exit_code
    print_result(NEXT.format(out=args.out))
    return 0
