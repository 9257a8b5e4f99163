"""Probabilities under another prior, against the formula written out."""

import numpy as np
import pytest

from mien.metrics.prior import divide_by_prior

FRACTIONS = np.array([0.7, 0.2, 0.1])


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_division_is_the_formula_written_out(exponent: float) -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.05, 0.05, 0.9]])
    expected = []
    for row in probabilities.tolist():
        weighted = [p / f**exponent for p, f in zip(row, FRACTIONS.tolist(), strict=True)]
        expected.append([value / sum(weighted) for value in weighted])
    np.testing.assert_allclose(divide_by_prior(probabilities, FRACTIONS, exponent), expected, rtol=1e-12)


def test_bayes_rule_recovers_the_posterior_of_balanced_classes() -> None:
    """From class densities: what was learned under one prior becomes what Bayes' rule gives under equal ones."""
    density = np.array([0.2, 0.5, 1.1])
    learned = density * FRACTIONS / (density * FRACTIONS).sum()
    np.testing.assert_allclose(divide_by_prior(learned, FRACTIONS, 1), density / density.sum())


def test_exponent_zero_changes_nothing() -> None:
    probabilities = np.array([0.6, 0.3, 0.1])
    np.testing.assert_array_equal(divide_by_prior(probabilities, FRACTIONS, 0), probabilities)


def test_a_class_without_training_faces_is_never_answered() -> None:
    found = divide_by_prior(np.array([0.5, 0.2, 0.3]), np.array([0.8, 0.2, 0.0]), 1)
    assert found[2] == 0
    np.testing.assert_allclose(found[:2], np.array([0.5 / 0.8, 1.0]) / (0.5 / 0.8 + 1.0))


def test_nothing_left_is_uniform() -> None:
    np.testing.assert_allclose(
        divide_by_prior(np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.0]), 1), 1 / 3
    )
