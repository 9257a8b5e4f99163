"""The losses against torch's own functions, where nothing is missing."""

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from torch.nn import functional

from mien.train.losses import (
    LANDMARK_UNIT,
    affect_loss,
    distillation_loss,
    expression_loss,
    landmark_loss,
    smooth_targets,
)


@pytest.fixture
def generator() -> torch.Generator:
    """Randomness of the test's own."""
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_hard_labels(generator: torch.Generator, smoothing: float, weighted: bool) -> None:
    """Against one-hot targets the loss is torch's cross-entropy of class indices, smoothed and weighted likewise.

    With weights torch divides its mean by their sum; ours is over the faces, as is torch's sum over their number.
    """
    logits = torch.randn(32, 8, generator=generator)
    labels = torch.randint(0, 8, (32,), generator=generator)
    weights = torch.rand(8, generator=generator) + 0.5 if weighted else None
    targets = smooth_targets(torch.eye(8)[labels], smoothing, torch.full((8,), 1 / 8))
    expected = functional.cross_entropy(
        logits, labels, weight=weights, label_smoothing=smoothing, reduction="sum"
    )
    torch.testing.assert_close(expression_loss(logits, targets, class_weights=weights), expected / 32)


def test_votes(generator: torch.Generator) -> None:
    """Against votes the loss is the divergence from them plus their own entropy."""
    logits = torch.randn(32, 8, generator=generator)
    votes = torch.rand(32, 8, generator=generator).softmax(dim=1)
    divergence = functional.kl_div(logits.log_softmax(dim=1), votes, reduction="batchmean")
    entropy = torch.distributions.Categorical(votes).entropy().mean()
    torch.testing.assert_close(expression_loss(logits, votes), divergence + entropy)


def test_a_teacher(generator: torch.Generator) -> None:
    """The teacher's loss is torch's divergence between the two softened answers, times the square."""
    student, teacher = torch.randn(2, 32, 8, generator=generator)
    answers = (torch.distributions.Categorical(logits=value / 3) for value in (teacher, student))
    expected = 9 * torch.distributions.kl_divergence(*answers).mean()
    torch.testing.assert_close(distillation_loss(student, teacher, temperature=3.0), expected)


def test_landmarks(generator: torch.Generator) -> None:
    """With every landmark known the loss is torch's smooth L1 in the loss's units, or its MSE of the coordinates."""
    predicted, true = torch.rand(2, 16, 68, 2, generator=generator) / LANDMARK_UNIT
    ours = predicted * LANDMARK_UNIT, true * LANDMARK_UNIT
    torch.testing.assert_close(landmark_loss(*ours), functional.smooth_l1_loss(predicted, true))
    torch.testing.assert_close(landmark_loss(*ours, kind="mse"), functional.mse_loss(*ours))


def test_affect(generator: torch.Generator) -> None:
    """With every value known the loss is torch's mean squared error."""
    predicted, true = torch.rand(2, 16, 2, generator=generator)
    torch.testing.assert_close(affect_loss(predicted, true), functional.mse_loss(predicted, true))


def test_concordance(generator: torch.Generator) -> None:
    """The other part of the loss is 1 - torchmetrics' concordance, which divides by n - 1: the same for many faces."""
    judge = pytest.importorskip("torchmetrics.functional", reason="torchmetrics comes with the train extra")
    predicted, true = torch.rand(2, 20_000, 2, generator=generator)
    predicted = 0.5 * predicted + 0.3 * true
    ours = affect_loss(predicted, true, kind="ccc_mse") - affect_loss(predicted, true)
    expected = 1 - judge.concordance_corrcoef(predicted, true).mean()
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)


def test_gradients_of_a_part_are_those_of_the_part_alone(generator: torch.Generator) -> None:
    """With some landmarks missing, the gradient of the others is torch's on them alone."""
    predicted = torch.rand(6, 68, 2, generator=generator).requires_grad_()
    true = torch.rand(6, 68, 2, generator=generator)
    known = true.clone()
    true[4:] = torch.nan
    landmark_loss(predicted, true).backward()
    alone = predicted.detach()[:4].clone().requires_grad_()
    functional.smooth_l1_loss(alone / LANDMARK_UNIT, known[:4] / LANDMARK_UNIT).backward()
    torch.testing.assert_close(predicted.grad[:4], alone.grad)
