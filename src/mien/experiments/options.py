"""The options of `mien train` that make several runs. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path

from mien.runtime.options import option


@dataclass(frozen=True)
class SeriesOptions:
    """Which runs are trained; the default is a single one."""

    seeds: int | None = option(
        None,
        "train with N seeds: the recipe's and the N - 1 after it",
        metavar="N",
        least=1,
    )
    sweep: tuple[str, ...] = option(
        (),
        "train with each value of a recipe key; repeat for every combination of several keys",
        metavar="KEY=V1,V2,...",
    )
    folds: int | None = option(
        None,
        "K-fold cross-validation: train K times, each time holding out another of K parts of train",
        metavar="K",
    )
    evaluate: Path | None = option(
        None,
        "then export every one of these runs, evaluate it on this pack, and compare the reports",
        metavar="PACK",
    )
    evaluate_split: str = option(
        "val", "the split that --evaluate measures on: train, val or test", metavar="SPLIT"
    )

    @property
    def is_series(self) -> bool:
        """Whether several runs are asked for."""
        return self.seeds is not None or bool(self.sweep) or self.folds is not None
