"""Model files with another expression head: computed by onnxruntime, checked by the onnx package."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="checking a graph needs onnx")

import onnx

from mien.formats.expression_head import ExpressionHead, replace_head
from mien.formats.model_file import read_model_content
from mien.formats.onnx_model import OnnxModel
from mien.metrics.softmax import softmax

IMAGES = np.random.default_rng(1).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
MERGING = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])


def make_head(
    n_rows: int, *, keeps_classes: bool = False, merging: np.ndarray | None = None
) -> ExpressionHead:
    random = np.random.default_rng(0)
    weight = random.normal(0, 0.05, (n_rows, 3))
    return ExpressionHead(weight, random.normal(size=n_rows), 1.7, keeps_classes, merging)


def load(content: bytes) -> OnnxModel:
    return OnnxModel(Path("a.onnx"), read_model_content(content, where="it"), threads=1, in_memory=True)


@pytest.mark.parametrize(
    ("head", "classes"),
    [
        pytest.param(make_head(4), ("a", "b", "c", "d"), id="new classes"),
        pytest.param(make_head(4, merging=MERGING), ("a", "bc", "d"), id="new classes, merged"),
        pytest.param(
            make_head(2, keeps_classes=True), ("Neutral", "Happy", "Sad", "wink"), id="kept classes"
        ),
        pytest.param(
            make_head(2, keeps_classes=True, merging=MERGING),
            ("Neutral", "not", "wink"),
            id="kept classes, merged",
        ),
    ],
)
def test_the_file_computes_what_the_head_says(
    model_path: Path, head: ExpressionHead, classes: tuple[str, ...]
) -> None:
    """Probabilities are `combine`'s, every other output is the base model's, and the graph is valid for onnx itself."""
    base = OnnxModel.load(model_path, threads=1)
    content = replace_head(base.content(), head, replace(base.info, classes=classes))
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    outputs, features = base.run_with_features(IMAGES)
    gate = softmax(features @ head.weight.T + head.bias, temperature=1.7)
    found, same_features = load(content).run_with_features(IMAGES)
    np.testing.assert_allclose(found["expression"], head.combine(gate, outputs["expression"]), atol=1e-5)
    assert found["expression"].shape == (7, len(classes))
    assert all(np.array_equal(found[task], outputs[task]) for task in ("landmarks", "valence_arousal"))
    assert np.array_equal(same_features, features)


def test_only_what_the_old_head_needed_is_left_out(model_path: Path) -> None:
    base = OnnxModel.load(model_path, threads=1)
    content = replace_head(base.content(), make_head(3), base.info)
    before, after = (onnx.load_from_string(each).graph for each in (base.content(), content))
    old = {name for node in before.node for name in node.output} | {each.name for each in before.initializer}
    new = {name for node in after.node for name in node.output} | {each.name for each in after.initializer}
    assert old - new == {"scale"}  # the logits' name is used again
    assert "network.expression_head.weight" in new
    assert [each.name for each in after.output] == [each.name for each in before.output]


def test_a_taught_file_can_be_taught_again(model_path: Path) -> None:
    """Names that are taken by the kept head are not used a second time."""
    base = OnnxModel.load(model_path, threads=1)
    first = replace_head(
        base.content(),
        make_head(2, keeps_classes=True),
        replace(base.info, classes=(*base.info.classes, "wink")),
    )
    info = replace(base.info, classes=(*base.info.classes, "wink", "yawn"))
    second = replace_head(first, make_head(2, keeps_classes=True), info)
    onnx.checker.check_model(onnx.load_from_string(second), full_check=True)
    ours, theirs = load(second).run(IMAGES)["expression"], load(first).run(IMAGES)["expression"]
    np.testing.assert_allclose(ours[:, :4] / ours[:, :4].sum(1, keepdims=True), theirs, atol=1e-5)
