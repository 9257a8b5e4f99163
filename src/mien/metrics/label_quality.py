"""How likely each label is wrong, from the predictions of a model that was not trained on these labels.

References:
    [0] Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70, 2021,
        https://arxiv.org/abs/1911.00068. A face counts as one of class k if its probability of k reaches the mean that the
        faces labeled k have, which makes up for classes that a model over- or underestimates. Deviation: the mean counts as
        at most `SURE`. Where a model is nearly certain of a class, half of the faces are below its mean of, say, 0.9998.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SURE = 0.9
# The thresholds are means of the values that are compared with them: equal up to rounding is reached.
_ROUNDING = 1e-6
# A class that no face is labeled with is reached by no face.
_UNREACHABLE = 2.0


class LabelQuality(NamedTuple):
    """What N labels look like to a model.

    Attributes:
        wrongness: ``(N,)`` in [0, 1]: 1 minus the label's probability, by which faces are ordered. Where predictions are
            good it is about the chance that the label is wrong.
        suggested: ``(N,)`` the most probable class other than the label.
        is_suspect: ``(N,)`` whether the face is among those of its label that are probably of another class, "pruned by noise
            rate": of the faces labeled i, as many as `joint` estimates to be of class j, those with the largest p_j - p_i, if
            their top-1 is not the label.
        joint: ``(C, C)`` estimated number of faces by label (rows) and by the class that they seem to be of.
    """

    wrongness: NDArray[np.float64]
    suggested: NDArray[np.int64]
    is_suspect: NDArray[np.bool_]
    joint: NDArray[np.float64]

    @property
    def estimated_noise(self) -> NDArray[np.float64]:
        """``(C,)`` estimated fraction of each class's labels that are wrong; NaN for a class without faces."""
        totals = self.joint.sum(axis=1)
        right = np.divide(np.diag(self.joint), totals, out=np.full(len(totals), np.nan), where=totals > 0)
        return np.asarray(1 - right)


def judge_labels(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> LabelQuality:
    """Compare labels with predictions by confident learning.

    Args:
        probabilities: ``(N, C)``, rows sum to 1, C >= 2, from a model that was not trained on these labels.
        labels: ``(N,)`` class indices, N > 0.

    Raises:
        ValueError: the shapes do not match, a label is not a class, or there is no face.
    """
    n, n_classes = probabilities.shape if probabilities.ndim == 2 else (0, 0)
    if labels.shape != (n,) or n == 0 or n_classes < 2:
        raise ValueError(
            f"`probabilities` must be (N, C) with N > 0 and C > 1, and `labels` (N,), got {probabilities.shape} and "
            f"{labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"`labels` must be in [0, {n_classes}), got {labels.min()} to {labels.max()}")
    values = probabilities.astype(np.float64)
    rows = np.arange(n)
    counts = np.bincount(labels, minlength=n_classes)
    own = values[rows, labels]
    thresholds = np.full(n_classes, _UNREACHABLE)
    np.divide(np.bincount(labels, weights=own, minlength=n_classes), counts, out=thresholds, where=counts > 0)
    thresholds[counts > 0] = np.minimum(thresholds[counts > 0], SURE)
    reached = values >= thresholds - _ROUNDING
    # Of several classes that a face reaches, the most probable one counts.
    top = values.argmax(axis=1)
    seems = np.where(reached.sum(axis=1) > 1, top, reached.argmax(axis=1))
    counted = reached.any(axis=1)
    joint = np.zeros((n_classes, n_classes))
    np.add.at(joint, (labels[counted], seems[counted]), 1)
    # At least one label of each class is taken to be right; then the rows are scaled to the number of labels [0, equation 3].
    np.fill_diagonal(joint, np.maximum(np.diag(joint), 1))
    joint *= (counts / joint.sum(axis=1))[:, None]
    is_suspect = np.zeros(n, dtype=bool)
    for label, other in np.argwhere(np.rint(joint) > 0):
        members = np.flatnonzero(labels == label)
        margins = values[members, other] - own[members]
        worst = np.argsort(-margins, kind="stable")[: int(np.rint(joint[label, other]))]
        is_suspect[members[worst]] |= label != other
    others = values.copy()
    others[rows, labels] = -1
    suggested = others.argmax(axis=1)
    return LabelQuality(
        wrongness=1 - own,
        suggested=suggested,
        is_suspect=is_suspect & (top != labels),
        joint=joint,
    )
