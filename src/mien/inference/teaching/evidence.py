"""What cross-validation shows, with intervals, and whether it is evidence that the classes can be told apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix
from mien.metrics.proportion import balanced_accuracy_interval, wilson_interval


def measure(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], groups: NDArray[np.int64], rows: Sequence[str]
) -> dict[str, Any]:
    """Return the scores of predictions for held-out faces, with 95% intervals."""
    confusion = confusion_matrix(labels, predicted, n_classes=len(rows))
    totals, hits = confusion.sum(axis=1).tolist(), np.diagonal(confusion).tolist()
    return {
        "n": len(labels),
        "classes": {
            name: {"n": n, "groups": len(np.unique(groups[labels == index])), "recall": hit / n}
            for index, (name, n, hit) in enumerate(zip(rows, totals, hits, strict=True))
        },
        "accuracy": float(accuracy(confusion)),
        "accuracy_ci95": list(wilson_interval(sum(hits), len(labels))),
        "majority_accuracy": max(totals) / len(labels),
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "balanced_accuracy_ci95": list(balanced_accuracy_interval(confusion)),
        "majority_balanced_accuracy": 1 / len(rows),
    }


def require_evidence(measured: dict[str, Any]) -> None:
    """Refuse classes that held-out faces do not show to be told apart.

    Raises:
        ModelError: always answering one class could be as good.
    """
    low, high = measured["balanced_accuracy_ci95"]
    if low > measured["majority_balanced_accuracy"]:
        return
    recalls = ", ".join(
        f"{name} {found['recall']:.0%} of {found['n']}" for name, found in measured["classes"].items()
    )
    raise ModelError(
        f"Cross-validation over the {measured['n']} faces gives no evidence that the classes can be told apart: balanced accuracy "
        f"{measured['balanced_accuracy']:.1%} [{low:.1%}, {high:.1%}], always answering one class "
        f"{measured['majority_balanced_accuracy']:.1%}; found: {recalls}. Nothing was written: add faces, or classes that look "
        "more different"
    )
