"""The options of `mien browse`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass

from mien.runtime.options import FORCE_HELP, option
from mien.runtime.suggestion import did_you_mean

# The tasks of `mien.tasks.TASKS` that have groups, and the expression; that module imports numpy, which the help does not need.
GROUPED = ("expression", "valence_arousal", "action_units")


def parse_task(text: str) -> str:
    """Return the name of a task that faces are grouped by."""
    if text not in GROUPED:
        raise ValueError(f"must be one of {', '.join(GROUPED)}, got {text!r}{did_you_mean(text, GROUPED)}")
    return text


@dataclass(frozen=True)
class BrowseOptions:
    """Which faces are shown."""

    per_class: int = option(
        10, "faces per class; with --recipe, augmented versions of one face", metavar="N", least=1
    )
    by: str = option(
        "expression",
        f"what the rows are: {' or '.join(GROUPED)}; other than expression, the values are written below the faces",
        metavar="TASK",
        parse=parse_task,
    )
    split: str = option("train", "train, val or test; --recipe needs train")
    seed: int = option(0, "random seed for the choice of faces")
    force: bool = option(False, FORCE_HELP)
