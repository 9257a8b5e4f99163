"""The options of `mien browse`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass

from mien.runtime.options import FORCE_HELP, option


@dataclass(frozen=True)
class BrowseOptions:
    """Which faces are shown."""

    per_class: int = option(
        10, "faces per class; with --recipe, augmented versions of one face", metavar="N", least=1
    )
    split: str = option("train", "train, val or test; --recipe needs train")
    seed: int = option(0, "random seed for the choice of faces")
    force: bool = option(False, FORCE_HELP)
