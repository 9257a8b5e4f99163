"""How an answer is given: among which classes, how sure it must be, and how many classes it names."""

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


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """How an answer is given.

    Attributes:
        n_classes: 7, 8 or 11: answer among so many of AffectNet's classes, in its order, and give their
            probabilities among themselves (`mien.metrics.protocols` calls this closed); None: among all the
            model's.
        min_confidence: an answer less probable than this is ``unsure``, in [0, 1].
        top: give the probabilities of so many of the top_class classes alone; None gives all.
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

    def __post_init__(self) -> None:
        if self.n_classes not in (None, 7, 8, 11):
            raise ValueError(f"`n_classes` must be 7, 8, 11 or None, got {self.n_classes!r}")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"`min_confidence` must be in [0, 1], got {self.min_confidence!r}")
        if self.top is not None and self.top < 1:
            raise ValueError(f"`top` must be 1 or more, or None, got {self.top!r}")

    def classes(self, of_model: tuple[str, ...]) -> tuple[str, ...]:
        """Return the classes that are answered, in the model's order.

        Raises:
            ModelError: the model lacks one of those asked for.
        """
        if self.n_classes is None:
            return of_model
        wanted = AFFECTNET_CLASSES[: self.n_classes]
        missing = [name for name in wanted if name not in of_model]
        if missing:
            raise ModelError(
                f"{self.n_classes} classes were asked for, and the model does not know {', '.join(missing)}: it has "
                f"{len(of_model)} ({', '.join(of_model)}). Ask for fewer, or use another model"
            )
        return tuple(name for name in of_model if name in wanted)

    def answer(
        self, probabilities: NDArray[np.floating], of_model: tuple[str, ...]
    ) -> tuple[str, float, dict[str, float]]:
        """Return the expression, the confidence and the probabilities that are given.

        Args:
            probabilities: ``(C,)`` over the model's classes.
            of_model: the model's classes.

        Raises:
            ModelError: as `classes`.
        """
        classes = self.classes(of_model)
        shares = dict(zip(of_model, map(float, probabilities), strict=True))
        total = sum(shares[name] for name in classes)
        shares = {name: shares[name] / total if total > 0 else 1 / len(classes) for name in classes}
        ordered = sort_by_probability(shares)
        expression, confidence = ordered[0]
        if self.top is not None:
            named = {name for name, _ in ordered[: self.top]}
            shares = {name: share for name, share in shares.items() if name in named}
        return (expression if confidence >= self.min_confidence else UNSURE), confidence, shares


def sort_by_probability(probabilities: dict[str, float]) -> Sequence[tuple[str, float]]:
    """Return classes with their probabilities, the most probable first."""
    return sorted(probabilities.items(), key=lambda item: -item[1])
