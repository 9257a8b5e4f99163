"""The bundled models: each with its card, its hash and what its card says."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.assets import DEFAULT_MODEL
from mien.assets.bundled_models import find_model, model_names, read_card
from mien.cli import main
from mien.formats.onnx_model import OnnxModel

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "tests" / "golden" / "image.png"


@pytest.fixture(scope="module")
def bundle() -> OnnxModel:
    """Return the default model."""
    return OnnxModel.load(find_model(), threads=1)


def test_the_default_is_in_the_box() -> None:
    assert model_names()[0] == DEFAULT_MODEL


def test_it_is_small(bundle: OnnxModel) -> None:
    assert bundle.path.stat().st_size <= 6_000_000


def test_it_says_what_eight_bits_cost_it(bundle: OnnxModel) -> None:
    """The gate's figures stand in the file: the answers of the float file, and how often they are the same."""
    measured = bundle.info.quantization
    assert measured is not None
    gate = measured["gate"]
    assert gate["n"] > 1000
    assert gate["agreement"] >= 0.98
    lost = gate["float"]["accuracy"] - gate["int8"]["accuracy"]
    assert lost <= 0.005


@pytest.mark.parametrize("name", model_names())
def test_every_model_has_a_card_and_a_license(name: str) -> None:
    card = read_card(find_model(name))
    for part in (
        "## Performance",
        "## Training data",
        "## License",
        "## Limitations",
        "## Intended use",
        "AI Act, Article 5",
    ):
        assert part in card, part
    assert re.search(r"n = [\d,]+", card)
    assert re.search(r"\[\d+\.\d, \d+\.\d\]", card), "no interval"
    assert OnnxModel.load(find_model(name), threads=1).info.license


def test_the_card_quotes_the_dev_split_that_chose(bundle: OnnxModel) -> None:
    chosen_on = re.search(r"n = (\d+)", bundle.info.training["selection"])
    assert chosen_on is not None
    assert f"n = {int(chosen_on[1]):,}" in read_card(bundle.path)


def test_it_reads_a_face_that_is_not_there_in_no_way_that_is_not_a_probability(bundle: OnnxModel) -> None:
    size = bundle.info.input_size
    random = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    outputs = bundle.run(random)
    np.testing.assert_allclose(outputs["expression"].sum(axis=1), 1, atol=1e-4)
    assert (outputs["expression"] >= 0).all()


def test_one_face_alone_is_read_as_in_a_batch(bundle: OnnxModel) -> None:
    size = bundle.info.input_size
    random = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), dtype=np.uint8)
    together, alone = bundle.run(random), bundle.run(random[3:4])
    np.testing.assert_allclose(together["expression"][3:4], alone["expression"], atol=1e-3)


def test_it_is_used_where_no_model_is_named(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert main(["predict", str(IMAGE), "--crop", "whole", "--out", str(out)]) == 0
    named = tmp_path / "named.jsonl"
    words = ["predict", str(IMAGE), "--crop", "whole", "--out", str(named)]
    assert main([*words, "--model", DEFAULT_MODEL]) == 0
    assert out.read_text(encoding="utf-8") == named.read_text(encoding="utf-8")


def test_a_wrong_name_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(IMAGE), "--model", "mien-bas"]) == 1
    assert f"Did you mean {DEFAULT_MODEL}?" in capsys.readouterr().err


def test_python_reads_without_torch() -> None:
    program = f"""
import sys
for name in ("torch", "timm", "lightning", "matplotlib", "pyarrow", "yaml", "onnx"):
    sys.modules[name] = None
import json, mien
print(json.dumps(mien.load(threads=1).predict({str(IMAGE)!r}, cropped=True).to_dict()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    (expected,) = mien.load(threads=1).predict(IMAGE, cropped=True)
    assert row == expected.to_dict()


@pytest.mark.slow
def test_the_wheel_carries_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("mien-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        f"mien/assets/models/{DEFAULT_MODEL}.onnx",
        f"mien/assets/models/{DEFAULT_MODEL}.md",
        "mien/serve/static/index.html",
    ):
        assert name in names
