"""The golden files: mien still cuts and reads the drawn image as the page in the browser is held to."""

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from mien.formats.class_fractions import read_class_fractions
from mien.formats.onnx_model import OnnxModel

GOLDEN = Path(__file__).parents[1] / "golden"
REMEDY = "Where the change is meant, run tests/golden/make.py and the tests of the page"


def _load_make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _load_make()
golden, image_rgb = make.read_golden()


@pytest.mark.parametrize("case", golden["crops"], ids=lambda case: case["name"])
def test_crops_are_the_golden_ones(case: dict[str, Any]) -> None:
    """A crop has the method and, within rounding, the pixels of its file."""
    crop, method = make.cut_case(image_rgb, case)
    expected = cv2.imread(str(GOLDEN / "crops" / f"{case['name']}.png"))[:, :, ::-1]
    assert method == case["method"]
    assert crop.shape == expected.shape
    difference = np.abs(crop.astype(int) - expected)
    assert difference.mean() <= 0.25, REMEDY
    assert difference.max() <= 4, REMEDY


def test_the_columns_are_the_golden_ones() -> None:
    """The page's table has those of `mien predict`."""
    assert make.example_columns() == golden["columns"], REMEDY


def test_the_model_is_the_golden_one() -> None:
    """The numbers were made with the model that is shipped."""
    content = (make.ROOT / make.MODEL).read_bytes()
    assert golden["model"] == make.MODEL
    assert hashlib.sha256(content).hexdigest() == golden["model_sha256"], REMEDY


def test_readings_are_the_golden_ones() -> None:
    """The model reads in the crops what it read when the files were made."""
    bundle = OnnxModel.load(make.ROOT / make.MODEL, threads=1)
    assert list(bundle.info.classes) == golden["classes"]
    for case in golden["readings"]:
        crop, _ = make.cut_case(image_rgb, case)
        outputs = bundle.run(crop[None])
        np.testing.assert_allclose(outputs["expression"][0], case["probabilities"], atol=5e-3, err_msg=REMEDY)
        if "landmarks" in outputs:
            np.testing.assert_allclose(outputs["landmarks"][0], case["landmarks"], atol=5e-3, err_msg=REMEDY)


def test_priors_are_the_golden_ones() -> None:
    """Python gives what the page is held to, from what this model was trained on."""
    bundle = OnnxModel.load(make.ROOT / make.MODEL, threads=1)
    np.testing.assert_allclose(read_class_fractions(bundle.info), golden["class_fractions"], err_msg=REMEDY)
    for expected, found in zip(golden["priors"], make.prior_cases(golden["readings"], bundle), strict=True):
        for prior, probabilities in expected.items():
            np.testing.assert_allclose(found[prior], probabilities, atol=2e-6, err_msg=REMEDY)


def test_a_lesson_is_the_golden_one() -> None:
    """Cross-validation makes the same of the made-up features, and files with another head are the same bytes."""
    expected = json.loads((GOLDEN / "teach.json").read_text(encoding="utf-8"))
    found = make.lesson_case(OnnxModel.load(make.ROOT / make.MODEL, threads=1))
    for key in ("features", "labels", "groups", "shares", "folds", "strength", "files"):
        assert found[key] == expected[key], REMEDY
    for key in ("probabilities", "layer_probabilities", "temperature", "balanced_accuracy_ci95"):
        np.testing.assert_allclose(found[key], expected[key], atol=2e-3, err_msg=REMEDY)
