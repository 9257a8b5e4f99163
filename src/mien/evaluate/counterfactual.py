"""How often a model's answer changes if one trait of a drawn face changes and nothing else.

The faces are drawn, so that everything else is known to be the same: what no set of photographs can offer. They are drawings
all the same, and what holds for them need not hold for photographs.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.task_scores import percent, percent_interval
from mien.faces.detector import DetectedFace
from mien.faces.landmarks import five_from_landmarks
from mien.formats.onnx_model import OnnxModel
from mien.inference.pipeline import crop_face
from mien.metrics.bootstrap import Interval
from mien.metrics.groups import rate_interval
from mien.runtime.progress import Progress
from mien.runtime.text_table import format_table

COUNTERFACTUAL_NOTE = (
    "One trait of each drawn face changes, while expression, pose, light and background stay the same: a change of the "
    "prediction is the model's doing. But drawings are not photographs, and a model that was not trained on them knows little "
    "about them. Compare with the control, where the same image is cropped one percent of the face's width to the side."
)
BATCH_SIZE = 32


class DrawnFace(Protocol):
    """A drawn face at one level of one trait; the first level of a trait is what others are compared with."""

    @property
    def class_name(self) -> str: ...  # noqa: D102
    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def trait(self) -> str: ...  # noqa: D102
    @property
    def level(self) -> str: ...  # noqa: D102
    @property
    def image_rgb(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def box_xyxy(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def landmarks(self) -> NDArray[np.float64]: ...  # noqa: D102


class DrawnFaces(Protocol):
    """Every face at every level of every trait."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[DrawnFace]: ...


class LevelScores(NamedTuple):
    """The answers at one level of a trait.

    Attributes:
        n: number of faces.
        changed: fraction of them whose answer is not that at the first level; 0 at the first.
        changed_ci95: its interval (Wilson).
        shift: mean change of the probability of the answer at the first level; negative is a loss.
        most_common: the most common change of the answer, and how often it occurs; None without any.
        n_known: number of faces of a class that the model knows.
        correct: fraction of these whose answer is the expression that is drawn; None without any.
        correct_ci95: its interval (Wilson).
    """

    n: int
    changed: float
    changed_ci95: Interval
    shift: float
    most_common: tuple[str, str, int] | None
    n_known: int
    correct: float | None
    correct_ci95: Interval | None

    @classmethod
    def compare(
        cls,
        found: NDArray[np.float32],
        reference: NDArray[np.float32],
        truth: NDArray[np.int64],
        classes: tuple[str, ...],
    ) -> Self:
        """Compare ``(N, C)`` probabilities at two levels; ``truth`` is ``(N,)``, -1 for a class the model does not know."""
        before, after = reference.argmax(axis=1), found.argmax(axis=1)
        rows, changed, known = np.arange(len(before)), before != after, truth >= 0
        pairs = Counter(zip(before[changed].tolist(), after[changed].tolist(), strict=True))
        most_common = None
        if pairs:
            (first, second), n = pairs.most_common(1)[0]
            most_common = (classes[first], classes[second], n)
        hits = int((after == truth)[known].sum())
        n_known = int(known.sum())
        return cls(
            n=len(before),
            changed=float(changed.mean()),
            changed_ci95=rate_interval(int(changed.sum()), len(before)) or (0.0, 1.0),
            shift=float((found[rows, before] - reference[rows, before]).mean()),
            most_common=most_common,
            n_known=n_known,
            correct=hits / n_known if n_known else None,
            correct_ci95=rate_interval(hits, n_known),
        )


@dataclass(frozen=True, slots=True)
class CounterfactualScores:
    """The answers to drawn faces.

    Attributes:
        n: number of faces.
        traits: scores by trait and level.
        any_change: fraction of the faces whose answer changes at one level or another, by trait.
    """

    n: int
    traits: dict[str, dict[str, LevelScores]]
    any_change: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry in metrics.json."""
        return {
            "description": COUNTERFACTUAL_NOTE,
            "n": self.n,
            "traits": {
                trait: {
                    "any_change": self.any_change[trait],
                    "any_change_ci95": rate_interval(round(self.any_change[trait] * self.n), self.n),
                    "levels": {level: scores._asdict() for level, scores in levels.items()},
                }
                for trait, levels in self.traits.items()
            },
        }

    def lines(self) -> list[str]:
        """Return the table as lines of text."""
        rows = [
            (
                "trait",
                "level",
                "prediction changes",
                "most common change",
                "prediction is the drawn expression",
            )
        ]
        for trait, levels in self.traits.items():
            for number, (level, scores) in enumerate(levels.items()):
                changed = (
                    f"{percent(scores.changed)} {percent_interval(scores.changed_ci95)}"
                    if number
                    else "(reference)"
                )
                correct = percent(scores.correct)
                if scores.correct_ci95 is not None:
                    correct += f" {percent_interval(scores.correct_ci95)}"
                rows.append(("" if number else trait, level, changed, describe_change(scores), correct))
        return [f"Drawn faces (n = {self.n:,}): {COUNTERFACTUAL_NOTE}", *format_table(rows)]


def describe_change(scores: LevelScores) -> str:
    """Return the most common change as text."""
    if scores.most_common is None:
        return ""
    before, after, n = scores.most_common
    return f"{before} to {after} ({n:,})"


def score_drawn_faces(model: OnnxModel, faces: DrawnFaces) -> CounterfactualScores:
    """Predict drawn faces, and compare the answers between the levels of each trait.

    Args:
        model: any model.
        faces: every face at every level of every trait.

    Raises:
        ModelError: the model's outputs are not finite.
    """
    info = model.info
    answers: dict[str, dict[str, dict[int, NDArray[np.float32]]]] = {}
    drawn: dict[int, str] = {}
    remaining = iter(faces)
    with Progress("Drawing and predicting", total=len(faces), unit="image") as progress:
        while batch := list(islice(remaining, BATCH_SIZE)):
            crops = []
            for face in batch:
                points = five_from_landmarks(face.landmarks)
                crops.append(crop_face(face.image_rgb, DetectedFace(face.box_xyxy, None, points), info).crop)
            outputs = model.run(np.stack(crops))["expression"]
            for face, probabilities in zip(batch, outputs, strict=True):
                answers.setdefault(face.trait, {}).setdefault(face.level, {})[face.number] = probabilities
                drawn[face.number] = face.class_name
            progress.advance(len(batch))
    numbers = sorted(drawn)
    truth = np.array(
        [info.classes.index(drawn[one]) if drawn[one] in info.classes else -1 for one in numbers]
    )
    traits: dict[str, dict[str, LevelScores]] = {}
    any_change = {}
    for trait, by_level in answers.items():
        levels = {level: np.stack([found[one] for one in numbers]) for level, found in by_level.items()}
        reference = next(iter(levels.values()))
        traits[trait] = {
            name: LevelScores.compare(found, reference, truth, info.classes) for name, found in levels.items()
        }
        changes = [found.argmax(axis=1) != reference.argmax(axis=1) for found in levels.values()]
        any_change[trait] = float(np.any(changes, axis=0).mean())
    return CounterfactualScores(len(numbers), traits, any_change)
