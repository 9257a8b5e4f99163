"""`mien completion`: let a shell complete commands, options, choices and files."""

import argparse

from mien.cli.output import print_result
from mien.cli.parser import Commands, add_command

SHELLS = ("bash", "zsh", "fish", "powershell")


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "completion",
        "Print a script that lets a shell complete commands, options and their values with the Tab key.",
        'eval "$(mien completion bash)"',
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    import argcomplete

    # zsh is served by the script for bash.
    shell = "bash" if args.shell == "zsh" else args.shell
    print_result(argcomplete.shellcode(["mien"], shell=shell).strip("\n"))


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and exit, if it is what started this process."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options="long")
