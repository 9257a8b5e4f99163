"""What the command line prints: results on standard output, everything else on standard error."""

import sys

from mien.runtime.terminal import on_its_lines, on_one_line


def print_result(text: object) -> None:
    """Print the result of a command; characters that the terminal cannot encode become question marks."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(f"{on_its_lines(str(text))}\n".encode(encoding, "replace").decode(encoding))


def print_notice(text: str) -> None:
    """Print a one-line message to standard error."""
    sys.stderr.write(f"mien: {on_one_line(text)}\n")
