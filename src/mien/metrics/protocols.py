"""Class protocols: which faces count, and among which classes the model may choose.

The field says "8 classes" or "7 classes" and means three different things. The choice alone is worth several
points: a face predicted as Contempt may be an error, or Contempt may not be an option. So every metric carries
the name of its protocol, and a report shows the protocols side by side.

- ``all``: every face whose class the model knows, argmax over all the model's classes.
- ``8_open``, ``7_open``: only faces of the 8 (or 7) expressions, argmax over all the model's classes; a
  prediction outside the 8 (or 7) is wrong.
- ``8_closed``, ``7_closed``: the same faces, argmax over only the 8 (or 7) expressions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.faces.classes import EXPRESSIONS_7, EXPRESSIONS_8

# Number in a protocol's name -> its expressions, and a note for its description.
_GROUPS = {"8": (EXPRESSIONS_8, ""), "7": (EXPRESSIONS_7, ", without Contempt")}


class ClassProtocol(NamedTuple):
    """One way to count. Class indices are the model's.

    Attributes:
        name: ``all``, ``8_open``, ``8_closed``, ``7_open`` or ``7_closed``.
        description: one sentence for readers of a report.
        faces: ``(N,)`` mask of the faces that count.
        truth: ``(n,)`` true classes of the faces that count.
        predicted: ``(n,)`` their predicted classes.
    """

    name: str
    description: str
    faces: NDArray[np.bool_]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of faces that count."""
        return len(self.truth)

    @property
    def n_excluded(self) -> int:
        """Number of faces that do not count."""
        return len(self.faces) - self.n


def class_protocols(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    classes: tuple[str, ...],
    label_classes: tuple[str, ...],
) -> tuple[ClassProtocol, ...]:
    """Return the protocols that the classes of model and labels allow, ``all`` first.

    The protocols of 8 (or 7) expressions require all of them on both sides. A protocol without faces is omitted,
    and so is an open one that would count the same faces as ``all``. Classes are matched by name, never by index.

    Args:
        probabilities: ``(N, C)`` over `classes`.
        labels: ``(N,)`` indices into `label_classes`, -1 for a face without a label, which never counts.
        classes: the model's classes.
        label_classes: the classes of the labels.

    Raises:
        ValueError: `probabilities` does not match the labels and classes.
    """
    if probabilities.shape != (len(labels), len(classes)):
        raise ValueError(f"`probabilities` must be {(len(labels), len(classes))}, got {probabilities.shape}")

    def count(
        name: str, description: str, true_classes: tuple[str, ...], choices: tuple[str, ...]
    ) -> ClassProtocol:
        """Count the faces of `true_classes`, with the argmax over `choices` as the prediction."""
        # The last entry is that of a missing label, -1.
        counts = np.array([*(label in true_classes for label in label_classes), False], dtype=np.bool_)[
            labels
        ]
        # A class that does not count may be unknown to the model; its index 0 is never used.
        index = np.array(
            [classes.index(c) if c in true_classes else 0 for c in label_classes], dtype=np.int64
        )
        columns = np.array([classes.index(choice) for choice in choices], dtype=np.int64)
        return ClassProtocol(
            name=name,
            description=description,
            faces=counts,
            truth=index[labels[counts]],
            predicted=columns[probabilities[counts][:, columns].argmax(axis=1)],
        )

    shared = tuple(name for name in classes if name in label_classes)
    text = (
        f"Faces of the {len(shared)} classes that the model and the labels share; "
        f"argmax over the model's {len(classes)} classes."
    )
    found = [count("all", text, shared, classes)]
    for number, (group, note) in _GROUPS.items():
        if not set(group) <= set(shared):
            continue
        subject = f"Only faces of the {number} expressions{note}"
        if set(shared) != set(group):
            text = (
                f"{subject}; argmax over the model's {len(classes)} classes, "
                f"and a prediction outside the {number} is wrong."
            )
            found.append(count(f"{number}_open", text, group, classes))
        text = f"{subject}; argmax over these {number}, other classes are ignored."
        found.append(count(f"{number}_closed", text, group, group))
    return tuple(protocol for protocol in found if protocol.n or protocol.name == "all")
