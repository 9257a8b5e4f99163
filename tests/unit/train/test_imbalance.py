"""Class weights, compared with scikit-learn and with the paper's formula."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from mien.recipe import DataConfig, LossConfig, Recipe, ScheduleConfig
from mien.train.dataloader import Batch
from mien.train.imbalance import EFFECTIVE_BETA, class_quotas, face_weights, trained_class_fractions
from mien.train.objective import Objective

COUNTS = np.array([900, 90, 10])

counts_of_classes = st.lists(st.integers(0, 3000), min_size=1, max_size=10).filter(any).map(np.array)
schemes = st.sampled_from(["uniform", "none", "inverse", "square_root", "effective"])


@given(counts_of_classes)
def test_inverse_is_balanced_of_scikit_learn(counts: np.ndarray) -> None:
    """Scikit-learn's balanced weights, which are 1 on average too."""
    present = np.flatnonzero(counts)
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    np.testing.assert_allclose(face_weights(counts, "inverse")[present], expected)


@given(counts_of_classes)
def test_effective_is_the_formula_of_the_paper(counts: np.ndarray) -> None:
    """Weights go as 1 / E_n, where E_n = 1 + b + b^2 + ... of n terms (Cui et al. 2019, proposition 1)."""
    present = counts > 0
    n_effective = np.array([(EFFECTIVE_BETA ** np.arange(n)).sum() for n in counts[present]])
    weights = face_weights(counts, "effective")[present]
    np.testing.assert_allclose(weights * n_effective, weights[0] * n_effective[0])


def test_effective_by_hand() -> None:
    """With b = 0.999, 1,000 faces are effectively (1 - 0.999^1000) / 0.001 = 632.3, and one is one."""
    weights = face_weights(np.array([1000, 1]), "effective")
    assert weights[1] / weights[0] == pytest.approx(632.30, abs=0.01)


def test_effective_lies_between_inverse_and_none() -> None:
    """Weights of small classes go as 1 / n, and beyond some thousand faces one more changes nothing."""
    few, many = (
        face_weights(np.array([2, 8]), "effective"),
        face_weights(np.array([10**5, 10**6]), "effective"),
    )
    assert few[0] / few[1] == pytest.approx(4, rel=0.01)
    assert many[0] / many[1] == pytest.approx(1, rel=1e-6)


@given(counts_of_classes)
def test_square_root_is_the_root_of_inverse(counts: np.ndarray) -> None:
    """The ratio of two classes' weights is the root of their ratio under inverse."""
    present = counts > 0
    inverse, root = (face_weights(counts, scheme)[present] for scheme in ("inverse", "square_root"))
    np.testing.assert_allclose(root**2 / inverse, root[0] ** 2 / inverse[0])


@given(counts_of_classes, schemes)
def test_a_face_counts_one_on_average(counts: np.ndarray, scheme: str) -> None:
    """The mean over all faces is 1; a rarer class never has a lower weight, and one without faces has none."""
    weights = face_weights(counts, scheme)  # type: ignore[arg-type]
    assert np.average(weights, weights=counts) == pytest.approx(1)
    assert not weights[counts == 0].any()
    by_count = weights[counts > 0][np.argsort(counts[counts > 0])]
    assert (np.diff(by_count) <= 1e-9 * by_count[:-1]).all()
    if scheme in ("uniform", "none"):
        np.testing.assert_allclose(by_count, 1)


def test_quotas_of_each_scheme() -> None:
    """Uniform draws each face once, inverse each class alike; the root of 900, 90 and 10 faces is in between."""
    np.testing.assert_allclose(class_quotas(COUNTS, "uniform", n_draws=1000), COUNTS)
    np.testing.assert_allclose(class_quotas(COUNTS, "inverse", n_draws=1000), [1000 / 3] * 3)
    roots = np.sqrt(COUNTS)
    np.testing.assert_allclose(class_quotas(COUNTS, "square_root", n_draws=1000), 1000 * roots / roots.sum())


def test_a_cap_gives_the_rest_to_the_others() -> None:
    """With at most 2 draws a face, 10 faces give 20, then 90 give 180, and the 900 fill the epoch."""
    np.testing.assert_allclose(class_quotas(COUNTS, "inverse", n_draws=1000, cap=2), [800, 180, 20])


def test_the_others_share_by_their_weight() -> None:
    """What a capped class leaves is distributed by weight, not evenly."""
    counts = np.array([400, 100, 4, 0])
    quotas = class_quotas(counts, "square_root", n_draws=504, cap=3)
    np.testing.assert_allclose(quotas, [492 * 20 / 30, 492 * 10 / 30, 12, 0])


def test_a_cap_of_one_shows_every_face_once() -> None:
    """If no face may repeat, there is nothing left to balance."""
    np.testing.assert_allclose(class_quotas(COUNTS, "inverse", n_draws=1000, cap=1), COUNTS)


def test_a_cap_that_allows_fewer_draws() -> None:
    """When every class is at its cap, the epoch is shorter than requested."""
    np.testing.assert_allclose(class_quotas(COUNTS, "inverse", n_draws=5000, cap=1.5), 1.5 * COUNTS)


@given(counts_of_classes, schemes, st.none() | st.floats(1, 50))
def test_quotas_fill_the_epoch(counts: np.ndarray, scheme: str, cap: float | None) -> None:
    """The quotas sum to the epoch, none is above its cap, and a class without faces has none."""
    n_draws = int(counts.sum())
    quotas = class_quotas(counts, scheme, n_draws=n_draws, cap=cap)  # type: ignore[arg-type]
    assert quotas.sum() == pytest.approx(n_draws)
    assert not quotas[counts == 0].any()
    if cap is not None:
        assert (quotas <= cap * counts * (1 + 1e-9)).all()
        wanted = class_quotas(counts, scheme, n_draws=n_draws)  # type: ignore[arg-type]
        below = (quotas < cap * counts * (1 - 1e-6)) & (counts > 0)
        assert (quotas[below] >= wanted[below] * (1 - 1e-9)).all()


@pytest.mark.parametrize(
    ("data", "loss", "expected"),
    [
        ({}, {}, [0.9, 0.09, 0.01]),
        ({"sampling": "inverse"}, {}, [1 / 3] * 3),
        ({}, {"class_weights": "inverse"}, [1 / 3] * 3),
        ({}, {"logit_adjustment": 1.0}, [1 / 3] * 3),
        ({}, {"logit_adjustment": 0.5}, np.sqrt(COUNTS) / np.sqrt(COUNTS).sum()),
        ({"sampling": "square_root"}, {}, np.sqrt(COUNTS) / np.sqrt(COUNTS).sum()),
        # The second class may be drawn at most 270 times and the third 30 times; the first gets the rest.
        ({"sampling": "inverse", "sampling_max_repeats": 3.0}, {}, [0.70, 0.27, 0.03]),
    ],
)
def test_class_fractions_that_a_recipe_trains_on(data, loss, expected) -> None:
    recipe = Recipe(data=DataConfig(**data), schedule=ScheduleConfig(loss=LossConfig(**loss)))
    fractions = trained_class_fractions(COUNTS, recipe)
    assert fractions.sum() == pytest.approx(1)
    np.testing.assert_allclose(fractions, expected, atol=1e-9)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(schedule=ScheduleConfig(loss=LossConfig(class_weights="square_root"))),
        Recipe(schedule=ScheduleConfig(loss=LossConfig(logit_adjustment=0.7))),
    ],
)
def test_class_fractions_are_those_of_the_optimal_logits(recipe) -> None:
    """On faces that all look alike, the loss's own optimum is the fractions that divide out."""
    labels = torch.arange(3).repeat_interleave(torch.tensor(COUNTS))
    objective = Objective(recipe.schedule.loss, COUNTS, tasks=("expression",))
    logits = torch.zeros(3, dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")
    targets = {"expression": functional.one_hot(labels, 3).float()}

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        batch = Batch(images_rgb=torch.zeros(len(labels), 1), targets=targets)
        total = objective({"expression": logits.expand(len(labels), 3)}, batch).total
        total.backward()
        return total

    optimizer.step(closure)
    found = logits.detach().softmax(dim=0).numpy()
    np.testing.assert_allclose(found, trained_class_fractions(COUNTS, recipe), rtol=1e-2)


def test_a_class_without_faces_has_no_fraction() -> None:
    recipe = Recipe(schedule=ScheduleConfig(loss=LossConfig(logit_adjustment=1.0)))
    assert trained_class_fractions(np.array([3, 0, 1]), recipe).tolist() == [0.5, 0, 0.5]
