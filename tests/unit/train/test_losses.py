"""The losses: limit cases by hand. tests/reference compares them with torch."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.network import FaceOutputs
from mien.recipe import ScheduleConfig
from mien.train.loading import Batch
from mien.train.losses import LANDMARK_UNIT, affect_loss, expression_loss, joint_loss, landmark_loss

N = 4


def make_outputs(*, landmarks: bool = True, valence_arousal: bool = True) -> FaceOutputs:
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape: int) -> Any:
        return torch.rand(shape, generator=generator).requires_grad_()

    return FaceOutputs(
        leaf(N, 3), leaf(N, 68, 2) if landmarks else None, leaf(N, 2) if valence_arousal else None
    )


def make_batch(*, known: slice = slice(None)) -> Batch:
    """Faces of which only `known` have landmarks, valence and arousal."""
    landmarks = torch.full((N, 68, 2), torch.nan)
    valence_arousal = torch.full((N, 2), torch.nan)
    landmarks[known], valence_arousal[known] = 0.4, -0.2
    return Batch(
        torch.zeros(N, 8, 8, 3, dtype=torch.uint8), torch.eye(3)[[0, 1, 2, 0]], landmarks, valence_arousal
    )


def test_a_perfect_answer_costs_nothing() -> None:
    """The right point and the right feeling have no loss, and a sure right class almost none."""
    batch = make_batch()
    assert landmark_loss(batch.landmarks, batch.landmarks) == 0
    assert affect_loss(batch.valence_arousal, batch.valence_arousal) == 0
    assert expression_loss(100 * batch.targets, batch.targets) < 1e-6


def test_no_opinion_costs_the_logarithm_of_the_classes() -> None:
    """Equal logits cost ln C, whatever the label."""
    assert float(expression_loss(torch.zeros(N, 3), make_batch().targets)) == pytest.approx(np.log(3))


def test_landmarks_are_counted_in_units() -> None:
    """One unit off costs one half, ten units off nine and a half: square near, linear far."""
    true = torch.full((1, 68, 2), 0.5)
    for units, cost in ((0.5, 0.125), (1, 0.5), (10, 9.5)):
        assert float(landmark_loss(true + units * LANDMARK_UNIT, true)) == pytest.approx(cost, rel=1e-4)


def test_affect_is_a_mean_square() -> None:
    """Half a unit off costs a quarter."""
    assert float(affect_loss(torch.zeros(2, 2), torch.full((2, 2), 0.5))) == pytest.approx(0.25)


def test_only_the_known_count() -> None:
    """A face without landmarks changes neither the loss nor the weight of the others."""
    outputs = make_outputs()
    batch = make_batch(known=slice(0, 2))
    for loss, predicted, true in (
        (landmark_loss, outputs.landmarks, batch.landmarks),
        (affect_loss, outputs.valence_arousal, batch.valence_arousal),
    ):
        torch.testing.assert_close(loss(predicted, true), loss(predicted[:2], true[:2]))


def test_the_missing_have_no_gradient() -> None:
    """Nothing is learnt from a missing landmark, and no gradient is NaN."""
    outputs = make_outputs()
    joint_loss(outputs, make_batch(known=slice(0, 2)), ScheduleConfig()).total.backward()
    for value in (outputs.landmarks, outputs.valence_arousal):
        assert torch.isfinite(value.grad).all()
        assert (value.grad[:2] != 0).all()
        assert (value.grad[2:] == 0).all()


def test_a_batch_with_nothing_known_trains() -> None:
    """With no landmarks at all these losses are nought, and the expression is still learnt."""
    outputs = make_outputs()
    losses = joint_loss(outputs, make_batch(known=slice(0, 0)), ScheduleConfig())
    losses.total.backward()
    assert losses.parts["landmarks"] == losses.parts["valence_arousal"] == 0
    assert losses.total == losses.parts["expression"]
    assert (outputs.landmarks.grad == 0).all()
    assert (outputs.valence_arousal.grad == 0).all()
    assert (outputs.logits.grad != 0).any()


def test_valence_alone_may_be_known() -> None:
    """A face with valence and no arousal counts for valence."""
    true = torch.tensor([[0.5, torch.nan]])
    predicted = torch.zeros(1, 2, requires_grad=True)
    loss = affect_loss(predicted, true)
    loss.backward()
    assert loss.item() == pytest.approx(0.25)
    assert predicted.grad.tolist() == [[-1.0, 0.0]]


def test_the_sum_is_weighted() -> None:
    """The total is the parts times the recipe's weights."""
    config = ScheduleConfig(expression_weight=2, landmarks_weight=3, valence_arousal_weight=5)
    losses = joint_loss(make_outputs(), make_batch(), config)
    expected = (
        2 * losses.parts["expression"] + 3 * losses.parts["landmarks"] + 5 * losses.parts["valence_arousal"]
    )
    torch.testing.assert_close(losses.total, expected)


@pytest.mark.parametrize(("landmarks", "valence_arousal"), [(False, True), (True, False), (False, False)])
def test_a_head_that_is_off_has_no_loss(landmarks: bool, valence_arousal: bool) -> None:
    """Only the heads that are on are counted."""
    losses = joint_loss(
        make_outputs(landmarks=landmarks, valence_arousal=valence_arousal), make_batch(), ScheduleConfig()
    )
    assert ("landmarks" in losses.parts) == landmarks
    assert ("valence_arousal" in losses.parts) == valence_arousal
