"""`mien push`: upload a model to the Hugging Face Hub."""

import argparse

from mien.cli.output import print_result
from mien.cli.parser import Commands, add_command, add_options, read_options, requires_extra
from mien.push.options import PushOptions


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "push",
        "Upload a model and its card to the Hugging Face Hub. It needs a token: `hf auth login`, or HF_TOKEN.",
        "mien push model.onnx hf://org/name --report report --preview preview\n"
        "  mien push model.onnx hf://org/name --report report",
    )
    parser.add_argument("model", metavar="MODEL", help="file written by `mien export`")
    parser.add_argument(
        "address",
        metavar="hf://ORG/NAME",
        help="repository, created if there is none; @BRANCH for another branch",
    )
    add_options(parser, PushOptions)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Upload the model."""
    with requires_extra("push", "hub"):
        import huggingface_hub  # noqa: F401

        from mien.push.stage import push

    print_result(push(args.model, args.address, read_options(PushOptions, args)))
