"""`mien serve`: predictions over HTTP."""

import argparse
import os
from dataclasses import replace

from mien.cli.parser import Commands, add_command, add_model, add_options, read_options, requires_extra
from mien.serve.options import TOKEN_VARIABLE, ServeOptions, parse_token


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
    token = options.token
    if token is None and TOKEN_VARIABLE in os.environ:
        try:
            token = parse_token(os.environ[TOKEN_VARIABLE])
        except ValueError as error:
            args.parser.error(
                f"{TOKEN_VARIABLE} {error}: set a token, or unset the variable for a server without one"
            )
    run_serve(args.model, options=replace(options, token=token))
