"""Folds, and nested cross-validation against a plain one that trains every layer again."""

import numpy as np
import pytest

from mien.inference.teaching.cross_validation import STRENGTHS, assign_folds, balance, cross_validate, n_fits
from mien.inference.teaching.regression import LinearLayer, fit_path
from mien.metrics.softmax import log_softmax

SHARES = np.array([0.5, 0.25, 0.25])


def make_faces(n: int = 45) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    labels = np.arange(n) % 3
    return random.normal(size=(n, 12)) + random.normal(0, 0.6, (3, 12))[labels], labels


def fit(features: np.ndarray, labels: np.ndarray) -> list[LinearLayer]:
    return fit_path(features, labels, balance(labels, SHARES), n_classes=3, strengths=STRENGTHS)


def best_strength(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, weights: np.ndarray) -> int:
    losses = np.zeros(len(STRENGTHS))
    for fold in np.unique(folds):
        held_out = folds == fold
        for index, layer in enumerate(fit(features[~held_out], labels[~held_out])):
            log_probabilities = log_softmax(layer.logits(features[held_out]))
            losses[index] -= weights[held_out] @ log_probabilities[range(held_out.sum()), labels[held_out]]
    return int(losses.argmin())


def test_each_prediction_is_from_layers_that_did_not_see_the_fold() -> None:
    features, labels = make_faces()
    folds = assign_folds(labels, np.arange(45), n_folds=4)
    calls: list[None] = []
    found = cross_validate(features, labels, folds, SHARES, on_fit=lambda: calls.append(None))
    weights = balance(labels, SHARES)
    for fold in range(4):
        kept = folds != fold
        best = best_strength(features[kept], labels[kept], folds[kept], weights[kept])
        expected = fit(features[kept], labels[kept])[best].logits(features[~kept])
        np.testing.assert_allclose(found.logits[~kept], expected, atol=1e-3)
    assert found.strength == STRENGTHS[best_strength(features, labels, folds, weights)]
    assert len(calls) == n_fits(4)


def test_labels_at_random_are_not_learned() -> None:
    """The nested predictions of twenty random labelings are at chance on average, though each strength was chosen."""
    random, rates = np.random.default_rng(0), []
    for _ in range(20):
        features, labels = random.normal(size=(30, 50)), random.permutation(np.arange(30) % 2)
        folds = assign_folds(labels, np.arange(30), n_folds=3)
        found = cross_validate(features, labels, folds, np.array([0.5, 0.5]))
        rates.append((found.logits.argmax(axis=1) == labels).mean())
    assert 0.42 < np.mean(rates) < 0.56


def test_groups_stay_together_and_classes_are_spread() -> None:
    random = np.random.default_rng(1)
    groups = random.integers(0, 30, 120)
    labels = np.where(random.random(120) < 0.2, 2, groups % 2)  # persons with faces of several classes
    folds = assign_folds(labels, groups, n_folds=5)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in np.unique(groups))
    for label in range(3):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.min() >= 1
        assert counts.max() <= 3 * counts.mean()


@pytest.mark.parametrize("n_folds", [3, 5])
def test_single_faces_are_spread_evenly(n_folds: int) -> None:
    labels = np.repeat([0, 1], [15, 30])
    folds = assign_folds(labels, np.arange(45), n_folds=n_folds)
    for label in (0, 1):
        assert np.ptp(np.bincount(folds[labels == label])) <= 1
    assert np.ptp(np.bincount(folds)) <= 1


def test_every_class_has_its_share() -> None:
    labels = np.repeat([0, 1, 2], [2, 10, 5])
    weights = balance(labels, SHARES)
    np.testing.assert_allclose(np.bincount(labels, weights), SHARES)
