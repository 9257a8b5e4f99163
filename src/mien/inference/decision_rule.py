"""The decision rule: how a face's probabilities become the expression that is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Literal

from mien.errors import ModelError
from mien.faces.classes import AFFECTNET_CLASSES, UNSURE
from mien.inference.label_sets import LabelSets
from mien.runtime.options import option, require_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.formats.onnx_model import ModelInfo

ClassCount = Literal[7, 8, 11]
Prior = Literal["as-trained", "half", "balanced"]

# By which power of the class fractions trained on the probabilities are divided.
PRIOR_EXPONENTS: dict[Prior, float] = {"as-trained": 0.0, "half": 0.5, "balanced": 1.0}

# The reason for `UNSURE`, if the most probable class is less probable than was asked for; `FaceQuality.find_reason` has others.
LOW_CONFIDENCE = "low confidence"


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """How probabilities become an expression.

    The steps, in order: restrict the probabilities to the candidate classes, divide them by the prior, renormalize them;
    the most probable class is the expression; compare its probability with `min_confidence`; report the `top` classes. In
    a video, the model's probabilities are smoothed over time before all of these.

    Attributes:
        n_classes: 7, 8 or 11: choose among AffectNet's first 7, 8 or 11 classes and renormalize their probabilities
            (the closed-set protocols of `mien.metrics.protocols`); None: among all of the model's classes.
        min_confidence: a face whose most probable class is below this is ``unsure``, in [0, 1].
        top: report the probabilities of the K most probable classes only; None for all.
        prior: how common the classes are assumed to be: as in training, equally common (balanced: the probabilities are
            divided by the class fractions trained on), or halfway (half: by their square root). Rare classes are
            answered more often, and common ones less.
        label_sets: which classes each face may have, with a promise; None for no sets.
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
    prior: Prior = option(
        "as-trained",
        "how common the classes are: as-trained; balanced: equally common, so that rare classes are predicted more often; "
        "or half, in between",
    )
    quality_rule: bool = option(
        True,
        "report an expression even for a face that is too small, too dark, blurred or covered (default: `unsure`)",
        flag="--no-quality-rule",
        const=False,
    )
    label_sets: LabelSets | None = None

    def __post_init__(self) -> None:
        for name, count in (("classes", self.n_classes), ("top", self.top)):
            if count is not None and (not isinstance(count, Integral) or isinstance(count, bool)):
                raise ValueError(f"`{name}` must be an integer or None, got {count!r}")
        if not isinstance(self.quality_rule, bool):
            raise TypeError(f"`quality_rule` must be True or False, got {self.quality_rule!r}")
        if self.n_classes not in (None, 7, 8, 11):
            raise ValueError(f"`classes` must be 7, 8, 11 or None, got {self.n_classes!r}")
        require_number("min_confidence", self.min_confidence)
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"`min_confidence` must be in [0, 1], got {self.min_confidence!r}")
        if self.top is not None and self.top < 1:
            raise ValueError(f"`top` must be 1 or more, or None, got {self.top!r}")
        if self.prior not in PRIOR_EXPONENTS:
            raise ValueError(f"`prior` must be one of {', '.join(PRIOR_EXPONENTS)}, got {self.prior!r}")

    @property
    def changes_probabilities(self) -> bool:
        """Whether the probabilities reported are others than the model's own, which prediction sets are for."""
        return self.n_classes is not None or self.prior != "as-trained"

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

    def class_fractions(self, info: ModelInfo) -> NDArray[np.float64] | None:
        """Return the class fractions ``(C,)`` that a model was trained on, or None if the rule does not need them.

        Raises:
            ModelError: the model does not record them.
        """
        if self.prior == "as-trained":
            return None
        from mien.formats.class_fractions import read_class_fractions  # noqa: PLC0415 - onnxruntime loads slowly

        return read_class_fractions(info)

    def require_supported_by(self, info: ModelInfo) -> None:
        """Check that a model has what the rule needs.

        Raises:
            ModelError: it lacks a candidate class, or does not record the class fractions that it was trained on.
        """
        self.classes(info.classes)
        self.class_fractions(info)

    def decide(
        self,
        probabilities: NDArray[np.floating],
        model_classes: tuple[str, ...],
        class_fractions: NDArray[np.floating] | None = None,
    ) -> tuple[str, float, dict[str, float]]:
        """Return the expression, its confidence, and the probabilities to report by class.

        Args:
            probabilities: ``(C,)`` over the model's classes.
            model_classes: names of these C classes.
            class_fractions: ``(C,)`` as returned by `class_fractions`.

        Raises:
            ModelError: as in `classes`.
            ValueError: the prior needs the class fractions.
        """
        candidates = self.classes(model_classes)
        if self.prior != "as-trained":
            if class_fractions is None:
                raise ValueError(f"prior {self.prior!r} needs `class_fractions`")
            from mien.metrics.prior import divide_by_prior  # noqa: PLC0415 - the command line is built without numpy

            probabilities = divide_by_prior(probabilities, class_fractions, PRIOR_EXPONENTS[self.prior])
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
