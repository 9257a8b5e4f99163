"""The options of `mien audit`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.runtime.language import LanguageCode
from mien.runtime.options import DETECTOR_HELP, FORCE_HELP, language_option, option

AuditedSplit = Literal["all", "train", "val", "test"]


@dataclass(frozen=True)
class AuditOptions:
    """What is audited, and by whose predictions."""

    folds: Path | None = option(
        None,
        "folder of `mien train --folds K`, whose networks predict each training face without having been trained on it",
        metavar="FOLDS",
    )
    dev_run: Path | None = option(
        None,
        "run of `mien train`: audits only the faces of its dev split, which it held out",
        flag="--run",
        metavar="RUN",
    )
    model: str | None = option(
        None,
        "model that was not trained on the pack: file written by `mien export`, or name of a bundled model (default, "
        "without --folds and --run: the bundled default model)",
        metavar="MODEL",
    )
    split: AuditedSplit = option("all", "which split; --folds and --run have predictions for train only")
    shown: int = option(300, "faces on the review page, the worst ones", metavar="N", least=1)
    detector: Path | None = option(None, f"for faces labeled NonFace: {DETECTOR_HELP}", metavar="FILE")
    language: LanguageCode = language_option("review.html")
    force: bool = option(False, FORCE_HELP)
