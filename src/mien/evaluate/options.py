"""The options of `mien evaluate`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass

from mien.runtime.options import FORCE_HELP, option


@dataclass(frozen=True)
class EvaluateOptions:
    """How a model is evaluated."""

    split: str = option("val", "train, val or test")
    flip_average: bool = option(
        False,
        "also predict every face mirrored, at twice the cost, and report the averaged predictions separately",
    )
    force: bool = option(False, FORCE_HELP)
