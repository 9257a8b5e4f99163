"""The options of `mien sample`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass

from mien.runtime.options import FORCE_HELP, option


@dataclass(frozen=True)
class SampleOptions:
    """What is drawn."""

    n_faces: int = option(
        3000, "number of usable faces, both splits together", flag="--faces", metavar="N", least=1
    )
    seed: int = option(0, "random seed; the same seed draws the same set", metavar="S", least=0)
    workers: int | None = option(None, "worker processes (default: one per core)", metavar="N", least=1)
    force: bool = option(False, FORCE_HELP)
