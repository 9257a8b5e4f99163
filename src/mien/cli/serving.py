"""The verbs that bring a model to a browser: serve, page."""

import argparse
import os
from dataclasses import Field, fields
from pathlib import Path

from mien.cli.words import Verbs, add_force, add_model, add_verb, needs, say, warn
from mien.serve.settings import ServeSettings

TOKEN_VARIABLE = "MIEN_TOKEN"  # noqa: S105 - the name of a variable


def add_serve(verbs: Verbs) -> None:
    """Add `mien serve`."""
    parser = add_verb(
        verbs,
        "serve",
        "Read faces over HTTP, and serve the page that reads them in a browser.",
        "mien serve --port 8000",
    )
    add_model(parser)
    _add_detector(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8000, help="0: any that is free (default: 8000)")
    parser.add_argument(
        "--token",
        type=_token,
        help=f"let in only who has it; better set {TOKEN_VARIABLE}, which the list of processes does not show",
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a site whose pages may use the API, such as https://example.org; may be repeated (default: none)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which the server is reached without a token, such as faces.example.org, * for any; may be "
        "repeated (default: addresses, localhost and this machine's name)",
    )
    limits = parser.add_argument_group("limits and times")
    for setting in fields(ServeSettings):
        limits.add_argument(
            f"--{setting.name.replace('_', '-')}",
            type=_Number(setting),
            default=setting.default,
            metavar="N",
            help=f"{setting.metadata['meaning']} (default: {setting.default:,})",
        )
    parser.set_defaults(run=_run_serve)


def _add_detector(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", type=Path, metavar="FILE", help="YuNet's file (default: looked for)")


class _Number:
    """Reads the option of a setting."""

    def __init__(self, setting: "Field[float]") -> None:
        self.kind = int if setting.type is int else float
        self.least, self.most = setting.metadata["least"], setting.metadata["most"]
        self.__name__ = "whole number" if self.kind is int else "number"

    def __call__(self, text: str) -> float:
        value = self.kind(text)
        if not self.least <= value <= self.most:
            raise argparse.ArgumentTypeError(f"must be from {self.least:,} to {self.most:,}, got {text}")
        return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, got {value}")
    return value


_port.__name__ = "port"


def _token(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text.strip()


def _run_serve(args: argparse.Namespace) -> None:
    with needs("serve", "serve"):
        from mien.serve.command import ServeOptions, run_serve

    run_serve(
        args.model,
        options=ServeOptions(
            host=args.host,
            port=args.port,
            detector_path=args.detector,
            token=args.token or os.environ.get(TOKEN_VARIABLE, "").strip() or None,
            allow_origins=tuple(args.allow_origin),
            allow_hosts=tuple(args.allow_host),
            settings=ServeSettings(**{one.name: getattr(args, one.name) for one in fields(ServeSettings)}),
        ),
        announce=warn,
    )


def add_page(verbs: Verbs) -> None:
    """Add `mien page`."""
    parser = add_verb(
        verbs,
        "page",
        "Write the page that reads faces in a browser as a folder for any web server.",
        "mien page site",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    add_model(parser)
    _add_detector(parser)
    add_force(parser)
    parser.set_defaults(run=_run_page)


def _run_page(args: argparse.Namespace) -> None:
    from mien.serve.site import write_page

    n_files = write_page(args.out, args.model, detector=args.detector, force=args.force, announce=warn)
    say(f"{args.out}: {n_files} files")
