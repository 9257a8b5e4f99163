"""The losses against torch's own functions, where nothing is missing."""

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from torch.nn import functional

from mien.train.losses import LANDMARK_UNIT, affect_loss, expression_loss, landmark_loss


@pytest.fixture
def generator() -> torch.Generator:
    """Randomness of the test's own."""
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_hard_labels(generator: torch.Generator, smoothing: float) -> None:
    """Against one-hot targets the loss is torch's cross-entropy of class indices, smoothed likewise."""
    logits = torch.randn(32, 8, generator=generator)
    labels = torch.randint(0, 8, (32,), generator=generator)
    ours = expression_loss(logits, torch.eye(8)[labels], smoothing=smoothing)
    torch.testing.assert_close(ours, functional.cross_entropy(logits, labels, label_smoothing=smoothing))


def test_votes(generator: torch.Generator) -> None:
    """Against votes the loss is the divergence from them plus their own entropy."""
    logits = torch.randn(32, 8, generator=generator)
    votes = torch.rand(32, 8, generator=generator).softmax(dim=1)
    divergence = functional.kl_div(logits.log_softmax(dim=1), votes, reduction="batchmean")
    entropy = torch.distributions.Categorical(votes).entropy().mean()
    torch.testing.assert_close(expression_loss(logits, votes), divergence + entropy)


def test_landmarks(generator: torch.Generator) -> None:
    """With every landmark known the loss is torch's smooth L1 in the loss's units."""
    predicted, true = torch.rand(2, 16, 68, 2, generator=generator)
    expected = functional.smooth_l1_loss(predicted / LANDMARK_UNIT, true / LANDMARK_UNIT)
    torch.testing.assert_close(landmark_loss(predicted, true), expected)


def test_affect(generator: torch.Generator) -> None:
    """With every value known the loss is torch's mean squared error."""
    predicted, true = torch.rand(2, 16, 2, generator=generator)
    torch.testing.assert_close(affect_loss(predicted, true), functional.mse_loss(predicted, true))


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
