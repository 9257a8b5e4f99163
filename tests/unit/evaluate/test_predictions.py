"""Running a model over a split in batches."""

import numpy as np
import pytest

from mien.evaluate.predictions import read_split
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64])
def test_faces_keep_their_order_in_any_batch(make_model, make_pack, val, batch_size) -> None:
    """Each face gets the answer to its own colour, however many are read at once."""
    faces = Pack.open(make_pack(val=val)).split("val")
    outputs = read_split(OnnxModel.load(make_model()), faces, batch_size=batch_size)
    colors = ["Neutral", "Happy", "Sad"]
    assert [colors[i] for i in outputs.probabilities.argmax(axis=1)] == [color for _, _, color in val]
    assert outputs.landmarks is not None
    assert outputs.landmarks.shape == (8, 68, 2)
    assert outputs.valence_arousal is not None
    assert outputs.valence_arousal.shape == (8, 2)


def test_batches_differ_by_rounding_alone(make_model, make_pack, val) -> None:
    """Probabilities agree to float32's precision."""
    bundle, faces = OnnxModel.load(make_model()), Pack.open(make_pack(val=val)).split("val")
    one, all_at_once = (read_split(bundle, faces, batch_size=size).probabilities for size in (1, 8))
    assert np.abs(one - all_at_once).max() < 1e-6


def test_tasks_that_the_model_lacks_are_none(make_model, make_pack, val) -> None:
    """An expression model gives neither landmarks nor affect."""
    faces = Pack.open(make_pack(val=val)).split("val")
    outputs = read_split(OnnxModel.load(make_model(tasks=("expression",))), faces, batch_size=4)
    assert outputs.landmarks is None
    assert outputs.valence_arousal is None
