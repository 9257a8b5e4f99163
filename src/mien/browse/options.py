"""The options of `mien browse`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from typing import Literal

from mien.runtime.options import FORCE_HELP, option

# The expression, and the tasks of `mien.tasks.TASKS` that have groups.
Grouping = Literal["expression", "valence_arousal", "action_units"]


@dataclass(frozen=True)
class BrowseOptions:
    """Which faces are shown."""

    per_class: int = option(
        10, "faces per class; with --recipe, augmented versions of one face", metavar="N", least=1
    )
    by: Grouping = option(
        "expression",
        "what the rows are of; other than the expression, the annotated values are written below the faces",
    )
    split: str = option("train", "train, val or test; --recipe needs train")
    seed: int = option(0, "random seed for the choice of faces", least=0)
    force: bool = option(False, FORCE_HELP)
