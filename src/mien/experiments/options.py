"""The options of `mien train` that make several runs. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass

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
