"""`mien train`: a pack and a recipe become a run."""

import os

# OpenMP's threads spin while they wait for each other, which starves them of the loader's and everybody
# else's processes: on a busy two-core machine a step took up to eight times as long. Set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from mien.train.stage import train

__all__ = ["train"]
