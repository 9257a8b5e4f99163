"""The class protocols: which faces count, and among which classes the model may choose.

The field says "8 classes" or "7 classes" and means three different things; the same model gains several
points by the choice alone (a face called Contempt is wrong, or may not be called so). So every figure
here carries the name of its protocol, and a report shows them side by side.

- ``all``: every face whose class the model knows, argmax over all the model's classes.
- ``8_open``, ``7_open``: only faces of the 8 (or 7) expressions, argmax over all the model's classes: a
  face called anything else counts as wrong.
- ``8_closed``, ``7_closed``: the same faces, argmax among the 8 (or 7) alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.faces.classes import EXPRESSIONS_7, EXPRESSIONS_8

# Groups of expressions that the field reports on, by the number in their protocols' names.
_GROUPS = {"8": EXPRESSIONS_8, "7": EXPRESSIONS_7}


@dataclass(frozen=True, slots=True)
class ClassProtocol:
    """One way to count. Class indices are the model's.

    Attributes:
        name: ``all``, ``8_open``, ``8_closed``, ``7_open`` or ``7_closed``.
        description: what it is, in a sentence.
        faces: ``(N,)`` which faces count.
        truth: ``(n,)`` true class of those that count.
        predicted: ``(n,)`` predicted class of those that count.
    """

    name: str
    description: str
    faces: NDArray[np.bool_]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def n(self) -> int:
        """How many faces count."""
        return len(self.truth)

    @property
    def n_left_out(self) -> int:
        """How many faces do not count."""
        return len(self.faces) - self.n


def class_protocols(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    classes: tuple[str, ...],
    label_classes: tuple[str, ...],
) -> tuple[ClassProtocol, ...]:
    """Return the protocols that the classes of model and labels allow, ``all`` first.

    A group's protocols need all its classes on both sides. An open protocol that would count the same
    faces as ``all`` is left out, and so is one without a face. Classes are matched by name, never by place.

    Args:
        probabilities: ``(N, C)`` over `classes`.
        labels: ``(N,)`` indices into `label_classes`.
        classes: the model's classes.
        label_classes: the classes that the labels count in.

    Raises:
        ValueError: `probabilities` does not fit the labels and classes.
    """
    if probabilities.shape != (len(labels), len(classes)):
        raise ValueError(f"`probabilities` must be {(len(labels), len(classes))}, got {probabilities.shape}")
    faces = _Faces(probabilities, labels, classes, label_classes)
    shared = tuple(name for name in classes if name in label_classes)
    everything = f"Every face of the {len(shared)} classes that model and labels share"
    found = [
        faces.count(
            "all", f"{everything}; the answer may be any of the model's {len(classes)}.", shared, classes
        )
    ]
    for number, group in _GROUPS.items():
        if not set(group) <= set(shared):
            continue
        only = f"Only faces of the {number} expressions{_LESS[number]}"
        if set(shared) != set(group):
            text = f"{only}; the answer may be any of the model's {len(classes)} classes, one outside the {number} is wrong."
            found.append(faces.count(f"{number}_open", text, group, classes))
        text = f"{only}; the answer is the top_class of the {number}, other classes are not considered."
        found.append(faces.count(f"{number}_closed", text, group, group))
    return tuple(protocol for protocol in found if protocol.n or protocol.name == "all")


_LESS = {"8": "", "7": ", without Contempt"}


@dataclass(frozen=True, slots=True)
class _Faces:
    """The faces of a split with the model's answers, from which a protocol counts its own."""

    probabilities: NDArray[np.floating]
    labels: NDArray[np.integer]
    classes: tuple[str, ...]
    label_classes: tuple[str, ...]

    def count(
        self, name: str, description: str, truths: tuple[str, ...], answers: tuple[str, ...]
    ) -> ClassProtocol:
        """Take the faces of the classes `truths` and the top_class of the classes `answers` for each."""
        counted = np.array([label in truths for label in self.label_classes], dtype=np.bool_)[self.labels]
        # a class that does not count may lack a place among the model's; its 0 is never read
        place = np.array(
            [self.classes.index(c) if c in truths else 0 for c in self.label_classes], dtype=np.int64
        )
        columns = np.array([self.classes.index(answer) for answer in answers], dtype=np.int64)
        return ClassProtocol(
            name=name,
            description=description,
            faces=counted,
            truth=place[self.labels[counted]],
            predicted=columns[self.probabilities[counted][:, columns].argmax(axis=1)],
        )
