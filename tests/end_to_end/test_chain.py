"""The whole chain on drawn faces, by the command line, as a newcomer runs it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from mien.cli import main

RECIPE = "demo"
SMALL = [
    "--schedule.epochs",
    "2",
    "--data.input_size",
    "32",
    "--schedule.batch_size",
    "16",
    "--runtime.workers",
    "0",
]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run every stage once and return the folder with all artifacts."""
    folder = tmp_path_factory.mktemp("chain")
    commands = [
        ["sample", f"{folder}/faces", "--faces", "150", "--seed", "3", "--workers", "2"],
        [
            "prepare",
            "affectnet",
            f"{folder}/faces",
            "--out",
            f"{folder}/pack",
            "--size",
            "64",
            "--workers",
            "2",
        ],
        ["browse", f"{folder}/pack", "--out", f"{folder}/sheet.png"],
        ["train", "--recipe", RECIPE, "--pack", f"{folder}/pack", "--out", f"{folder}/run", *SMALL],
        ["export", f"{folder}/run", "--out", f"{folder}/model.onnx"],
        [
            "evaluate",
            "--model",
            f"{folder}/model.onnx",
            "--pack",
            f"{folder}/pack",
            "--out",
            f"{folder}/report",
        ],
    ]
    for command in commands:
        assert main(command) == 0, command
    return folder


def read_predictions(chain: Path) -> list[dict[str, str]]:
    with (chain / "report" / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_read_are_kept_or_rejected(chain: Path) -> None:
    """Nothing of the raw dataset is lost."""
    info = json.loads((chain / "pack" / "pack.json").read_text())
    n_rows = sum(
        len((chain / "faces" / f"{name}.csv").read_text().splitlines()) - 1
        for name in ("training", "validation")
    )
    assert info["n_kept"] + info["n_rejected"] == info["n_rows"] == n_rows
    assert info["n_rejected"] == len((chain / "pack" / "rejects.csv").read_text().splitlines()) - 1 > 0


def test_anyone_can_recompute_the_metrics(chain: Path) -> None:
    """scikit-learn gets metrics.json's figures from predictions.csv."""
    metrics = json.loads((chain / "report" / "metrics.json").read_text())
    rows = read_predictions(chain)
    true, predicted = [row["true"] for row in rows], [row["predicted"] for row in rows]
    scores = metrics["protocols"]["all"]
    assert scores["n"] == len(rows)
    assert scores["accuracy"] == pytest.approx(accuracy_score(true, predicted))
    assert scores["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))
    low, high = scores["accuracy_ci95"]
    assert low <= scores["accuracy"] <= high


def test_probabilities_name_the_prediction(chain: Path) -> None:
    """The columns `p_<Class>` are probabilities whose largest is the prediction."""
    for row in read_predictions(chain):
        shares = {name[2:]: float(value) for name, value in row.items() if name.startswith("p_")}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
        assert max(shares, key=lambda name: shares[name]) == row["predicted"]


def test_predict_reads_whole_images_as_evaluate_does(chain: Path) -> None:
    """A pack's own crop, given to `predict --crop whole` without loss, has the probabilities of the report."""
    from PIL import Image

    from mien.formats.pack import Pack

    faces = Pack.open(chain / "pack").split("val")
    by_key = {row["key"]: row for row in read_predictions(chain)}
    Image.fromarray(faces.image(0)).save(chain / "crop.png")
    out = chain / "whole.jsonl"
    arguments = [
        str(chain / "crop.png"),
        "--model",
        str(chain / "model.onnx"),
        "--crop",
        "whole",
        "--out",
        str(out),
    ]
    assert main(["predict", *arguments, "--force"]) == 0
    row = json.loads(out.read_text())
    expected = by_key[faces.keys[0]]
    got = np.array(list(row["probabilities"].values()))
    wanted = np.array([float(expected[f"p_{name}"]) for name in row["probabilities"]])
    assert np.abs(got - wanted).max() < 1e-3


def test_compare_of_a_report_with_itself_finds_no_difference(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The paired test of equal answers has p = 1."""
    out = chain / "compared.json"
    assert main(["compare", str(chain / "report"), str(chain / "report"), "--out", str(out), "--force"]) == 0
    assert "report" in capsys.readouterr().out


def test_an_existing_output_is_refused(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No stage overwrites what is there without --force."""
    commands = [
        ["sample", f"{chain}/faces"],
        ["prepare", "affectnet", f"{chain}/faces", "--out", f"{chain}/pack"],
        ["browse", f"{chain}/pack", "--out", f"{chain}/sheet.png"],
        ["train", "--recipe", RECIPE, "--pack", f"{chain}/pack", "--out", f"{chain}/run", *SMALL],
        ["export", f"{chain}/run", "--out", f"{chain}/model.onnx"],
        ["evaluate", "--model", f"{chain}/model.onnx", "--pack", f"{chain}/pack", "--out", f"{chain}/report"],
    ]
    for command in commands:
        assert main(command) == 1, command
        assert "--force" in capsys.readouterr().err
