"""The class fractions in a model's metadata."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mien.assets.bundled_models import find_model
from mien.errors import ModelError
from mien.faces.crop import CropContract
from mien.formats.class_fractions import read_class_fractions
from mien.formats.onnx_model import ModelInfo, OnnxModel

INFO = ModelInfo(classes=("Neutral", "Happy", "Sad"), crop=CropContract("aligned", 0.1, 48), input_size=48)


def _info(pack: dict[str, Any], recipe: dict[str, Any] | None = None) -> ModelInfo:
    return replace(INFO, training={"pack": pack, "recipe": recipe or {}})


def test_recorded_fractions_come_before_counts() -> None:
    info = _info({"train_counts": [8, 1, 1], "class_fractions": [0.5, 0.25, 0.25]})
    np.testing.assert_allclose(read_class_fractions(info), [0.5, 0.25, 0.25])


def test_counts_of_an_earlier_file_become_fractions() -> None:
    np.testing.assert_allclose(read_class_fractions(_info({"train_counts": [8, 1, 1]})), [0.8, 0.1, 0.1])


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ({"data": {"sampling": "inverse"}}, "data.sampling inverse"),
        ({"schedule": {"loss": {"class_weights": "effective"}}}, "schedule.loss.class_weights effective"),
        ({"schedule": {"loss": {"logit_adjustment": 1.0}}}, "schedule.loss.logit_adjustment 1.0"),
    ],
)
def test_counts_are_refused_where_training_was_weighted(recipe: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelError, match=named):
        read_class_fractions(_info({"train_counts": [8, 1, 1]}, recipe))


@pytest.mark.parametrize(
    "values", [[1, 2], [1, 2, -1], [0, 0, 0], [1, 2, "3"], [1, 2, float("inf")], {"a": 1}, [True, True, True]]
)
def test_damaged_values_are_refused(values: Any) -> None:
    with pytest.raises(ModelError, match="`train_counts` must be 3 numbers"):
        read_class_fractions(_info({"train_counts": values}))


@pytest.mark.parametrize("training", [{}, {"pack": {}}, {"pack": "of another program"}])
def test_a_model_without_counts_says_so(training: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="does not record how many faces of each class") as caught:
        read_class_fractions(replace(INFO, training=training))
    assert "\n" not in str(caught.value)


def test_the_bundled_model_records_them() -> None:
    info = OnnxModel.load(find_model(None)).info
    fractions = read_class_fractions(info)
    assert fractions.shape == (len(info.classes),)
    assert fractions.sum() == pytest.approx(1)
