"""`mien train`: a pack and a recipe become a run, or several runs."""

import os
from typing import TYPE_CHECKING

from mien.train.processes import require_numbers

# OpenMP's threads spin while they wait for each other, which starves them of the loader's and everybody
# else's processes: on a busy two-core machine a step took up to eight times as long. Set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Lightning would end the import with a traceback.
require_numbers()

if TYPE_CHECKING:
    from mien.train.stage import train

__all__ = ["train"]


def __getattr__(name: str) -> object:
    """Load the stage, and torch, at its first use: a sweep starts processes and needs neither itself."""
    if name == "train":
        from mien.train.stage import train  # noqa: PLC0415

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
