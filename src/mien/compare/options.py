"""The options of `mien compare`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path

from mien.runtime.options import FORCE_HELP, option


@dataclass(frozen=True)
class CompareOptions:
    """How reports are compared."""

    protocol: str = option("all", "class protocol: all, 8_open, 8_closed, 7_open or 7_closed")
    out: Path | None = option(None, "write the comparison as JSON", metavar="FILE.json")
    plot: Path | None = option(None, "plot the metrics with their intervals", metavar="FILE.png")
    force: bool = option(False, FORCE_HELP)
