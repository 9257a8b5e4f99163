"""The losses of the tasks, as pure functions. Each task counts only the faces that have its labels.

Shapes: B batch, C classes.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from mien.runtime.suggestion import require_known

# Smooth L1 and Wing count landmark errors in units of 2% of the crop, about the disagreement of two annotators, so
# that they are on the scale of a cross-entropy. Squared errors in these units would have 2,500 times the curvature of
# plain coordinates, at which SGD with an ordinary learning rate diverges.
LANDMARK_UNIT = 0.02
# Feng et al. 2018, https://arxiv.org/abs/1711.06753: 10 and 2 pixels, taken here for a crop of 256 pixels, in these units.
WING_WIDTH = 10 / 256 / LANDMARK_UNIT
WING_CURVATURE = 2 / 256 / LANDMARK_UNIT


def smooth_targets(targets: Tensor, smoothing: float, distribution: Tensor) -> Tensor:
    """Replace a fraction of each target by a distribution over the classes (label smoothing).

    Args:
        targets: ``(B, C)``, rows sum to 1, or less for a face without a label or mixed with one.
        smoothing: the fraction, in [0, 1).
        distribution: ``(C,)``, sums to 1: uniform for label smoothing (Szegedy et al. 2016), higher for rare classes for
            the re-balanced kind (after Zhang et al. 2023, https://arxiv.org/abs/2310.19636).
    """
    return (1 - smoothing) * targets + smoothing * targets.sum(dim=1, keepdim=True) * distribution


def expression_loss(logits: Tensor, targets: Tensor, *, class_weights: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy over the labeled faces against soft labels, in nats; 0 if there are none.

    Args:
        logits: ``(B, C)``.
        targets: ``(B, C)``: one-hot, or the annotators' votes, summing to 1; zeros for a face without a label. A face mixed
            with such a one counts by the sum of its row.
        class_weights: ``(C,)`` factors of the classes' terms.
    """
    terms = functional.cross_entropy(logits, targets, weight=class_weights, reduction="sum")
    return terms / targets.sum().clamp(min=torch.finfo(targets.dtype).tiny)


def distillation_loss(logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """Return the KL divergence of a network from its teacher at a temperature, times the temperature's square.

    Source: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 2.

    Args:
        logits: ``(B, C)``.
        teacher_logits: ``(B, C)``, for the same classes.
        temperature: divisor of both.
    """
    ours = functional.log_softmax(logits / temperature, dim=1)
    theirs = functional.log_softmax(teacher_logits / temperature, dim=1)
    return functional.kl_div(ours, theirs, log_target=True, reduction="batchmean") * temperature**2


def _smooth_l1(difference: Tensor) -> Tensor:
    error = difference.abs() / LANDMARK_UNIT
    return functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")


def _wing(difference: Tensor) -> Tensor:
    error = difference.abs() / LANDMARK_UNIT
    constant = WING_WIDTH - WING_WIDTH * math.log1p(WING_WIDTH / WING_CURVATURE)
    bend = WING_WIDTH * torch.log1p(error / WING_CURVATURE)
    return torch.where(error < WING_WIDTH, bend, error - constant)


# The loss of each coordinate's difference.
LANDMARK_KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "smooth_l1": _smooth_l1,
    "mse": torch.square,
    "wing": _wing,
}
# Whether 1 - CCC is added to the mean squared error.
AFFECT_KINDS = {"mse": False, "ccc_mse": True}
# The loss of each unit, given the network's output and the label.
ACTION_UNIT_KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "presence": partial(functional.binary_cross_entropy_with_logits, reduction="none"),
    "intensity": partial(functional.mse_loss, reduction="none"),
}


def landmark_loss(predicted: Tensor, true: Tensor, *, kind: str = "smooth_l1") -> Tensor:
    """Return the mean loss of ``(B, 68, 2)`` landmarks over the known coordinates; 0 if there are none.

    Args:
        predicted: fractions of the crop.
        true: the same, NaN where missing.
        kind: ``mse``: the squared error of the plain coordinates. For an error e in units of
            `LANDMARK_UNIT`, ``smooth_l1``: e^2 / 2 up to 1, then ``|e| - 1/2``; ``wing``:
            ``w log(1 + |e| / c)`` up to w, then ``|e|`` minus a constant.

    Raises:
        ValueError: there is no such kind.
    """
    require_known("kind", kind, LANDMARK_KINDS)
    known = torch.isfinite(true)
    terms = LANDMARK_KINDS[kind](torch.where(known, predicted - true, 0.0))
    return terms.sum() / known.sum().clamp(min=1)


def affect_loss(predicted: Tensor, true: Tensor, *, kind: str = "mse") -> Tensor:
    """Return the loss of ``(B, 2)`` valence and arousal over the known values; 0 if there are none.

    Args:
        predicted: in [-1, 1].
        true: the same, NaN where missing.
        kind: ``mse``: the mean squared error; ``ccc_mse``: plus the mean of 1 - CCC over the two columns.

    Raises:
        ValueError: there is no such kind.
    """
    require_known("kind", kind, AFFECT_KINDS)
    known = torch.isfinite(true)
    error = torch.where(known, predicted - true, 0.0)
    loss = error.square().sum() / known.sum().clamp(min=1)
    return loss + (1 - concordance(predicted, true)).mean() if AFFECT_KINDS[kind] else loss


def action_unit_loss(predicted: Tensor, true: Tensor, *, kind: str) -> Tensor:
    """Return the mean loss of ``(B, K)`` action units over the known labels; 0 if there are none.

    Args:
        predicted: logits for ``presence``, intensities for ``intensity``.
        true: presence in [0, 1], or intensity in [0, 5]; NaN where missing.
        kind: ``presence``: the cross-entropy of each unit, in nats; ``intensity``: its squared error.

    Raises:
        ValueError: there is no such kind.
    """
    require_known("kind", kind, ACTION_UNIT_KINDS)
    known = torch.isfinite(true)
    terms = ACTION_UNIT_KINDS[kind](predicted, torch.where(known, true, 0.0).to(predicted.dtype))
    return torch.where(known, terms, 0.0).sum() / known.sum().clamp(min=1)


def concordance(predicted: Tensor, true: Tensor) -> Tensor:
    """Return Lin's concordance correlation coefficient of each column; 1 if fewer than two values are known.

    Args:
        predicted: ``(B, K)``.
        true: ``(B, K)``, NaN where missing.
    """
    known = torch.isfinite(true)
    n = known.sum(dim=0)
    ours, theirs = (torch.where(known, value.float(), 0.0) for value in (predicted, true))
    count = n.clamp(min=1)
    mean, true_mean = ours.sum(dim=0) / count, theirs.sum(dim=0) / count
    deviation, true_deviation = (ours - mean) * known, (theirs - true_mean) * known
    covariance = (deviation * true_deviation).sum(dim=0) / count
    variances = (deviation.square() + true_deviation.square()).sum(dim=0) / count
    ccc = 2 * covariance / (variances + (mean - true_mean).square() + 1e-8)
    return torch.where(n >= 2, ccc, 1.0)
