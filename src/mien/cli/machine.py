"""The verbs that look at the machine: doctor, bench."""

import argparse
import sys
from pathlib import Path

from mien.cli.options import Verbs, add_force, add_model, add_verb, positive, say, warn


def add_doctor(verbs: Verbs) -> None:
    """Add `mien doctor`."""
    parser = add_verb(
        verbs, "doctor", "Say what this machine has, what is missing, and how to get it.", "mien doctor"
    )
    parser.add_argument("--markdown", action="store_true", help="as tables, for a bug report")
    parser.set_defaults(run=_run_doctor)


def _run_doctor(args: argparse.Namespace) -> int:
    from mien.doctor import run_doctor

    return run_doctor(sys.stdout, markdown=args.markdown)


def add_bench(verbs: Verbs) -> None:
    """Add `mien bench`."""
    parser = add_verb(
        verbs,
        "bench",
        "Time finding, cutting and reading a face on this machine.",
        "mien bench --photo photo.jpg --threads 2",
    )
    add_model(parser)
    parser.add_argument(
        "--photo", type=Path, metavar="PHOTO", help="(default: a drawn one of 640 x 480 pixels)"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="of each call (default: one a core)")
    parser.add_argument(
        "--rounds", type=positive, default=50, metavar="N", help="calls of each step (default: 50)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures as JSON as well")
    add_force(parser)
    parser.set_defaults(run=_run_bench)


def _run_bench(args: argparse.Namespace) -> None:
    from mien.bench import BenchOptions, bench
    from mien.faces.detector import load_detector

    options = BenchOptions(photo=args.photo, threads=args.threads, rounds=args.rounds)
    say(bench(args.model, load_detector(announce=warn), options, out=args.out, force=args.force))
