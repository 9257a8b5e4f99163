"""The decision rule: how a face's probabilities become the expression that is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mien.errors import ModelError
from mien.faces.classes import AFFECTNET_CLASSES
from mien.runtime.options import option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ClassCount = Literal[7, 8, 11]

# The expression of a face whose most probable class is less probable than was asked for.
UNSURE = "unsure"
# The reason for that; `FaceQuality.find_reason` has others.
LOW_CONFIDENCE = "low confidence"


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """How probabilities become an expression.

    Attributes:
        n_classes: 7, 8 or 11: choose among AffectNet's first 7, 8 or 11 classes and renormalize their probabilities
            (the closed-set protocols of `mien.metrics.protocols`); None: among all of the model's classes.
        min_confidence: a face whose most probable class is below this is ``unsure``, in [0, 1].
        top: report the probabilities of the K most probable classes only; None for all.
        quality_rule: a face that is too small, too dark, blurred or covered is ``unsure`` too.
    """

    n_classes: ClassCount | None = option(
        None,
        "predict AffectNet's first 7 classes (without Contempt), 8 or 11 (default: all classes of the model)",
        flag="--classes",
    )
    min_confidence: float = option(
        0.0,
        "report a face as `unsure` if its most probable class is less probable than P",
        metavar="P",
        least=0,
        most=1,
    )
    top: int | None = option(
        None, "report the K most probable classes (default: all in files, 1 in a table)", metavar="K", least=1
    )
    quality_rule: bool = option(
        True,
        "report an expression even for a face that is too small, too dark, blurred or covered (default: `unsure`)",
        flag="--no-quality-rule",
        const=False,
    )

    def __post_init__(self) -> None:
        if self.n_classes not in (None, 7, 8, 11):
            raise ValueError(f"`n_classes` must be 7, 8, 11 or None, got {self.n_classes!r}")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"`min_confidence` must be in [0, 1], got {self.min_confidence!r}")
        if self.top is not None and self.top < 1:
            raise ValueError(f"`top` must be 1 or more, or None, got {self.top!r}")

    def classes(self, model_classes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the candidate classes, in the model's order.

        Raises:
            ModelError: the model lacks one of them.
        """
        if self.n_classes is None:
            return model_classes
        candidates = AFFECTNET_CLASSES[: self.n_classes]
        missing = [name for name in candidates if name not in model_classes]
        if missing:
            raise ModelError(
                f"{self.n_classes} classes were requested, but the model does not know {', '.join(missing)}: it has "
                f"{len(model_classes)} ({', '.join(model_classes)}). Request fewer classes, or use another model"
            )
        return tuple(name for name in model_classes if name in candidates)

    def decide(
        self, probabilities: NDArray[np.floating], model_classes: tuple[str, ...]
    ) -> tuple[str, float, dict[str, float]]:
        """Return the expression, its confidence, and the probabilities to report by class.

        Args:
            probabilities: ``(C,)`` over the model's classes.
            model_classes: names of these C classes.

        Raises:
            ModelError: as in `classes`.
        """
        candidates = self.classes(model_classes)
        by_class = dict(zip(model_classes, map(float, probabilities), strict=True))
        total = sum(by_class[name] for name in candidates)
        by_class = {name: by_class[name] / total if total > 0 else 1 / len(candidates) for name in candidates}
        ranked = sort_by_probability(by_class)
        expression, confidence = ranked[0]
        if self.top is not None:
            top_classes = {name for name, _ in ranked[: self.top]}
            by_class = {name: value for name, value in by_class.items() if name in top_classes}
        return (expression if confidence >= self.min_confidence else UNSURE), confidence, by_class


def sort_by_probability(probabilities: dict[str, float]) -> Sequence[tuple[str, float]]:
    """Return classes with their probabilities, the most probable first; equal ones keep their order."""
    return sorted(probabilities.items(), key=lambda item: -item[1])
