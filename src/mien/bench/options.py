"""The options of `mien bench`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path

from mien.runtime.options import option


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is timed."""

    photo: Path | None = option(
        None, "image to time with (default: a bundled drawing of 640 x 480 pixels)", metavar="PHOTO"
    )
    threads: int | None = option(
        None, "threads of the model (default: one per core)", metavar="N", least=1, most=1_024
    )
    rounds: int = option(50, "timed calls per step", metavar="N", least=1)
