"""The losses: limit cases and formulas worked out by hand. tests/reference compares them with torch."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from torch.nn import functional

from mien.metrics.affect import concordance as metric_concordance
from mien.train.losses import (
    LANDMARK_UNIT,
    action_unit_loss,
    affect_loss,
    concordance,
    distillation_loss,
    expression_loss,
    landmark_loss,
    smooth_targets,
)

N = 4
Loss = Callable[..., Any]
KINDS = ("smooth_l1", "mse", "wing")


@pytest.fixture
def generator() -> torch.Generator:
    """The test's own generator."""
    return torch.Generator().manual_seed(0)


def landmark_cost(pixels: float, kind: str) -> float:
    """The loss if every coordinate is off by this many pixels, in a crop of 256."""
    true = torch.full((1, 68, 2), 0.25, dtype=torch.float64)
    return float(landmark_loss(true + pixels / 256, true, kind=kind))


def landmark_slope(pixels: float, kind: str) -> float:
    """The slope of the loss there, per pixel."""
    step, unit_px = 1e-6, 256 * LANDMARK_UNIT
    rise = landmark_cost(pixels + step, kind) - landmark_cost(pixels - step, kind)
    return rise / (2 * step) * unit_px


@pytest.mark.parametrize(
    ("loss", "shape", "kinds"),
    [(landmark_loss, (1, 68, 2), "smooth_l1, mse, wing"), (affect_loss, (1, 2), "mse, ccc_mse")],
)
def test_an_unknown_kind_is_an_error(loss: Loss, shape: tuple[int, ...], kinds: str) -> None:
    """A typo does not silently select another loss."""
    with pytest.raises(ValueError, match=f"`kind` must be one of {kinds}, got 'wng'"):
        loss(torch.zeros(shape), torch.zeros(shape), kind="wng")


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_prediction_has_no_landmark_loss(generator: torch.Generator, kind: str) -> None:
    """No error, no loss, for each kind of landmark loss."""
    true = torch.rand(N, 68, 2, generator=generator)
    assert landmark_loss(true, true, kind=kind) == 0


def test_a_confident_correct_prediction_has_almost_no_loss() -> None:
    """Large logits for the right classes have almost no cross-entropy."""
    assert expression_loss(100 * torch.eye(3), torch.eye(3)) < 1e-6


def test_equal_logits_have_a_loss_of_log_c() -> None:
    """Equal logits have a loss of ln C, whatever the label."""
    assert float(expression_loss(torch.zeros(3, 3), torch.eye(3))) == pytest.approx(np.log(3))


def test_a_class_weight_multiplies_its_faces() -> None:
    """A face of a class with weight 2 has twice the loss, and the mean is over the faces."""
    logits, weights = torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([2.0, 0.5])
    loss = expression_loss(logits, torch.eye(2), class_weights=weights)
    expected = (2 * math.log(1 + math.exp(2)) + 0.5 * math.log(1 + math.exp(1))) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_smoothing_follows_the_distribution() -> None:
    """The smoothed fraction follows the distribution, and the target still sums to one."""
    smoothed = smooth_targets(torch.eye(2), 0.4, torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(smoothed, torch.tensor([[0.7, 0.3], [0.1, 0.9]]))


def test_landmarks_are_counted_in_units() -> None:
    """One unit off has a loss of one half, ten units off nine and a half: quadratic near, linear far."""
    true = torch.full((1, 68, 2), 0.5)
    for units, cost in ((0.5, 0.125), (1, 0.5), (10, 9.5)):
        assert float(landmark_loss(true + units * LANDMARK_UNIT, true)) == pytest.approx(cost, rel=1e-4)


def test_mse_is_that_of_the_plain_coordinates(generator: torch.Generator) -> None:
    """The mean squared error of coordinates as fractions of the crop, as torch computes it."""
    predicted, true = (torch.rand(N, 68, 2, generator=generator) for _ in range(2))
    expected = torch.nn.functional.mse_loss(predicted, true)
    torch.testing.assert_close(landmark_loss(predicted, true, kind="mse"), expected)


@pytest.mark.parametrize("pixels", [0.0, 0.1, 1.0, 5.0, 9.99, 10.0, 10.01, 40.0, -3.0, -40.0])
def test_wing_is_the_papers_formula(pixels: float) -> None:
    """Feng et al. 2018, equation 5, with w = 10 and epsilon = 2 pixels of a crop of 256."""
    w, epsilon = 10, 2
    constant = w - w * math.log(1 + w / epsilon)
    x = abs(pixels)
    in_pixels = w * math.log(1 + x / epsilon) if x < w else x - constant
    assert landmark_cost(pixels, "wing") == pytest.approx(in_pixels / 256 / LANDMARK_UNIT, abs=1e-12)


def test_wing_near_and_far() -> None:
    """A small error is weighted w / epsilon, a large one 1, and the two pieces meet at w."""
    assert landmark_slope(1e-4, "wing") == pytest.approx(10 / 2, rel=1e-3)
    assert landmark_slope(50, "wing") == pytest.approx(1, rel=1e-6)
    below, above = landmark_cost(10 - 1e-9, "wing"), landmark_cost(10 + 1e-9, "wing")
    assert above - below == pytest.approx(0, abs=1e-8)


def test_affect_is_a_mean_square() -> None:
    """Half a unit off has a loss of a quarter."""
    assert float(affect_loss(torch.zeros(2, 2), torch.full((2, 2), 0.5))) == pytest.approx(0.25)


def test_perfect_agreement_has_a_concordance_of_one(generator: torch.Generator) -> None:
    """The true values have no loss, in either part."""
    true = 2 * torch.rand(16, 2, generator=generator) - 1
    torch.testing.assert_close(concordance(true, true), torch.ones(2))
    assert float(affect_loss(true, true, kind="ccc_mse")) == pytest.approx(0, abs=1e-6)


def test_concordance_is_the_formula_and_the_metric(generator: torch.Generator) -> None:
    """2 cov / (var + var + (mean - mean)^2), as written out and as the report computes it."""
    true = 2 * torch.rand(32, 2, generator=generator) - 1
    predicted = 0.6 * true + 0.1 + 0.2 * torch.randn(32, 2, generator=generator)
    ours = concordance(predicted, true)
    for column in range(2):
        p, t = (value[:, column].double().numpy() for value in (predicted, true))
        covariance = np.mean((p - p.mean()) * (t - t.mean()))
        written_out = 2 * covariance / (p.var() + t.var() + (p.mean() - t.mean()) ** 2)
        assert float(ours[column]) == pytest.approx(written_out, rel=1e-5)
        assert float(ours[column]) == pytest.approx(metric_concordance(t, p), rel=1e-5)
    both = affect_loss(predicted, true, kind="ccc_mse")
    torch.testing.assert_close(both, affect_loss(predicted, true) + (1 - ours).mean())


@pytest.mark.parametrize("kind", ["presence", "intensity"])
def test_action_units_count_only_known_labels(kind: str) -> None:
    """The mean is over the labels that are known, each unit by itself; a missing one has no gradient."""
    true = torch.tensor([[1.0, torch.nan], [0.0, 1.0]])
    predicted = torch.tensor([[0.3, 9.0], [-2.0, 1.5]], requires_grad=True)
    known = ([0.3, -2.0, 1.5], [1.0, 0.0, 1.0])
    ours, labels = (torch.tensor(values) for values in known)
    plain = {"presence": functional.binary_cross_entropy_with_logits, "intensity": functional.mse_loss}
    loss = action_unit_loss(predicted, true, kind=kind)
    torch.testing.assert_close(loss, plain[kind](ours, labels))
    loss.backward()
    assert (predicted.grad != 0).tolist() == [[True, False], [True, True]]
    none = action_unit_loss(predicted, torch.full_like(true, torch.nan), kind=kind)
    none.backward()
    assert none.item() == 0
    assert predicted.grad.isfinite().all()


def test_action_units_of_an_unknown_kind() -> None:
    """A typo is no default."""
    with pytest.raises(ValueError, match="presence, intensity, got 'both'"):
        action_unit_loss(torch.zeros(1, 1), torch.zeros(1, 1), kind="both")


def test_a_missing_half_of_valence_and_arousal(generator: torch.Generator) -> None:
    """The concordance of each column is over the faces that have it."""
    true, predicted = torch.rand(2, 16, 2, generator=generator)
    known = true.clone()
    true[10:, 0] = torch.nan
    ours = concordance(predicted, true)
    torch.testing.assert_close(ours[0], concordance(predicted[:10], known[:10])[0])
    torch.testing.assert_close(ours[1], concordance(predicted, known)[1])


@pytest.mark.parametrize("n_known", [0, 1])
def test_no_concordance_of_fewer_than_two(n_known: int) -> None:
    """There is no agreement to measure: no CCC loss and no gradient; the mean squared error remains."""
    true = torch.full((N, 2), torch.nan)
    true[:n_known] = 0.5
    predicted = torch.zeros(N, 2, requires_grad=True)
    loss = affect_loss(predicted, true, kind="ccc_mse")
    loss.backward()
    torch.testing.assert_close(loss.detach(), affect_loss(predicted.detach(), true))
    alone = torch.zeros(N, 2)
    alone[:n_known] = -0.5
    torch.testing.assert_close(predicted.grad, alone)


def test_equal_outputs_have_a_finite_gradient() -> None:
    """A network with the same output for every face has a concordance of 0, and still learns."""
    true = torch.tensor([[0.5, -0.5], [-0.5, 0.5]])
    predicted = torch.full((2, 2), 0.1, requires_grad=True)
    loss = affect_loss(predicted, true, kind="ccc_mse")
    loss.backward()
    assert float(concordance(predicted, true).detach().abs().max()) < 1e-6
    assert torch.isfinite(predicted.grad).all()
    assert (predicted.grad != 0).all()


LANDMARK_CASES = [pytest.param(landmark_loss, (N, 68, 2), kind, id=f"landmarks {kind}") for kind in KINDS]
AFFECT_CASES = [pytest.param(affect_loss, (N, 2), kind, id=f"affect {kind}") for kind in ("mse", "ccc_mse")]


@pytest.mark.parametrize(("loss", "shape", "kind"), LANDMARK_CASES + AFFECT_CASES)
def test_only_known_labels_count(
    generator: torch.Generator, loss: Loss, shape: tuple[int, ...], kind: str
) -> None:
    """A face without labels changes neither the loss nor the gradient of the others, and gets none itself."""
    predicted, true = (torch.rand(shape, generator=generator) for _ in range(2))
    alone, true_alone = predicted[:2].clone().requires_grad_(), true[:2].clone()
    predicted.requires_grad_()
    true[2:] = torch.nan
    both, expected = loss(predicted, true, kind=kind), loss(alone, true_alone, kind=kind)
    torch.testing.assert_close(both, expected)
    both.backward()
    expected.backward()
    torch.testing.assert_close(predicted.grad[:2], alone.grad)
    assert (predicted.grad[2:] == 0).all()


@pytest.mark.parametrize(("loss", "shape", "kind"), LANDMARK_CASES + AFFECT_CASES)
def test_a_batch_without_labels_has_no_loss(loss: Loss, shape: tuple[int, ...], kind: str) -> None:
    """The loss is zero, and so are all gradients."""
    predicted = torch.full(shape, 0.3, requires_grad=True)
    cost = loss(predicted, torch.full(shape, torch.nan), kind=kind)
    cost.backward()
    assert cost == 0
    assert (predicted.grad == 0).all()


def test_only_valence_may_be_known() -> None:
    """A face with valence but no arousal counts for valence."""
    true = torch.tensor([[0.5, torch.nan]])
    predicted = torch.zeros(1, 2, requires_grad=True)
    loss = affect_loss(predicted, true)
    loss.backward()
    assert loss.item() == pytest.approx(0.25)
    assert predicted.grad.tolist() == [[-1.0, 0.0]]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_a_student_like_its_teacher_has_no_loss(generator: torch.Generator, temperature: float) -> None:
    """Equal logits, and logits that differ by a constant, have no loss and no gradient."""
    teacher = torch.randn(N, 5, generator=generator)
    student = (teacher + 3).requires_grad_()
    loss = distillation_loss(student, teacher, temperature=temperature)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert float(student.grad.abs().max()) == pytest.approx(0, abs=1e-6)


def test_a_students_gradient_is_hintons(generator: torch.Generator) -> None:
    """Times T^2 it is T (q - p) of each face, equation 2; at a high temperature (z - v) / C, equation 4."""
    student, teacher = torch.randn(2, N, 5, generator=generator, dtype=torch.float64)
    student = student.requires_grad_()
    for temperature in (1.0, 3.0):
        (gradient,) = torch.autograd.grad(
            distillation_loss(student, teacher, temperature=temperature), student
        )
        q, p = ((value / temperature).softmax(dim=1) for value in (student, teacher))
        torch.testing.assert_close(gradient, temperature * (q - p).detach() / N)
    (hot,) = torch.autograd.grad(distillation_loss(student, teacher, temperature=1e4), student)
    centered, taught = (value - value.mean(dim=1, keepdim=True) for value in (student.detach(), teacher))
    torch.testing.assert_close(hot, (centered - taught) / 5 / N, rtol=1e-3, atol=1e-6)
