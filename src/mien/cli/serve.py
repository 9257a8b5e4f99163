"""`mien serve`: predictions over HTTP."""

import argparse
import os
from dataclasses import replace

from mien.cli.parser import Commands, add_command, add_model, add_options, read_options, requires_extra
from mien.serve.options import TOKEN_VARIABLE, ServeOptions


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "serve",
        "Serve predictions over HTTP, and the web page that predicts in the browser.",
        "mien serve --port 8000",
    )
    add_model(parser)
    add_options(parser, ServeOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Serve until a signal."""
    with requires_extra("serve", "serve"):
        from mien.serve.server import run_serve

    options = read_options(ServeOptions, args)
    token = options.token or os.environ.get(TOKEN_VARIABLE, "").strip() or None
    run_serve(args.model, options=replace(options, token=token))
