"""The options of `mien evaluate`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass

from mien.runtime.language import LanguageCode
from mien.runtime.options import FORCE_HELP, language_option, option


@dataclass(frozen=True)
class EvaluateOptions:
    """How a model is evaluated."""

    split: str = option("val", "train, val or test")
    flip_average: bool = option(
        False,
        "also predict every face mirrored, at twice the cost, and report the averaged predictions separately",
    )
    groups: tuple[str, ...] = option(
        (),
        "also report the metrics by person, clip or an attribute that the dataset states, such as gender; may be repeated",
        metavar="COLUMN",
    )
    min_group: int = option(30, "smaller groups are left out of --groups, and named", metavar="N", least=1)
    counterfactual: bool = option(
        False,
        "also report how often the prediction for drawn faces changes with skin tone, hair, glasses, headwear or age lines alone; "
        "without --pack, only that",
    )
    drawn: int = option(200, "faces that --counterfactual draws, each 25 times", metavar="N", least=1)
    language: LanguageCode = language_option("report.html and counterfactual.html")
    force: bool = option(False, FORCE_HELP)
