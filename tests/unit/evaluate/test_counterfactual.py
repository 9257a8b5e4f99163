"""Answers to drawn faces: what is counted as a change, against a model whose answers are known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.cli import main
from mien.evaluate.counterfactual import score_drawn_faces
from mien.evaluate.stage import evaluate, evaluate_drawn
from mien.formats.onnx_model import OnnxModel
from mien.metrics.groups import rate_interval

COLORS = {"Neutral": (220, 30, 30), "Happy": (30, 220, 30), "Sad": (30, 30, 220)}


class Face(NamedTuple):
    """A single-colored image that stands for a drawn face."""

    class_name: str
    number: int
    trait: str
    level: str
    image_rgb: NDArray[np.uint8]
    box_xyxy: NDArray[np.float64]
    landmarks: NDArray[np.float64]


# The color of each of four faces at each level, which the model takes for the expression.
ANSWERS = {
    ("hat", "none"): ["Neutral", "Happy", "Sad", "Happy"],
    ("hat", "cap"): ["Neutral", "Sad", "Sad", "Sad"],
    ("hat", "crown"): ["Happy", "Happy", "Sad", "Sad"],
    ("glasses", "none"): ["Neutral", "Happy", "Sad", "Happy"],
    ("glasses", "round"): ["Neutral", "Happy", "Sad", "Happy"],
}
DRAWN = ["Neutral", "Happy", "Sad", "Contempt"]


@pytest.fixture
def faces() -> list[Face]:
    """Four faces, drawn one after the other."""
    points = np.random.default_rng(0).uniform(20, 44, (68, 2))
    box = np.array([10.0, 10, 54, 54])
    return [
        Face(
            DRAWN[number],
            number,
            trait,
            level,
            np.full((64, 64, 3), COLORS[names[number]], np.uint8),
            box,
            points,
        )
        for number in range(4)
        for (trait, level), names in ANSWERS.items()
    ]


def test_changes_are_counted_against_the_first_level(
    faces: list[Face], make_model: Callable[..., Path]
) -> None:
    """Fractions with Wilson intervals, the most common change, and how often the drawn expression is the answer."""
    scores = score_drawn_faces(OnnxModel.load(make_model()), faces)
    assert scores.n == 4
    hat = scores.traits["hat"]
    assert [one.changed for one in hat.values()] == [0, 0.5, 0.5]
    assert hat["cap"].changed_ci95 == rate_interval(2, 4)
    assert hat["cap"].most_common == ("Happy", "Sad", 2)
    assert scores.any_change == {"hat": 0.75, "glasses": 0.0}
    assert scores.traits["glasses"]["round"].most_common is None
    # The model does not know Contempt.
    assert [(one.n_known, one.correct) for one in hat.values()] == [
        (3, 1.0),
        (3, pytest.approx(2 / 3)),
        (3, pytest.approx(2 / 3)),
    ]
    assert hat["cap"].shift < -0.3
    assert scores.traits["glasses"]["round"].shift == 0


def test_a_report_has_them_next_to_everything_else(
    faces: list[Face],
    make_model: Callable[..., Path],
    make_pack: Callable[..., Path],
    val: list,
    tmp_path: Path,
) -> None:
    """A key in metrics.json, a section on the page and a table in the text; nothing else changes."""
    model, pack = make_model(), make_pack(val=val)
    summary = evaluate(model, pack, out=tmp_path / "with", drawn=faces)
    evaluate(model, pack, out=tmp_path / "without")
    found, plain = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("with", "without")
    )
    drawn = found.pop("counterfactual")
    assert found == plain
    assert drawn["traits"]["hat"]["any_change"] == 0.75
    assert drawn["traits"]["hat"]["levels"]["cap"]["changed"] == 0.5
    assert "drawn face" in drawn["description"]
    assert 'id="counterfactual"' in (tmp_path / "with" / "report.html").read_text()
    assert "Happy to Sad (2)" in str(summary)


def test_drawn_faces_need_no_pack(faces: list[Face], make_model: Callable[..., Path], tmp_path: Path) -> None:
    """A folder of its own, which `mien compare` does not take for a report."""
    summary = evaluate_drawn(make_model(), faces, out=tmp_path / "out")
    values = json.loads((tmp_path / "out" / "counterfactual.json").read_text())
    assert values["traits"]["hat"]["levels"]["crown"]["changed"] == 0.5
    assert values["model"]["file"] == "colors.onnx"
    assert "not photographs" in (tmp_path / "out" / "counterfactual.html").read_text()
    assert "not photographs" in str(summary)
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_the_command_draws_faces(
    make_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a pack only with --counterfactual, and then nothing that needs a pack's faces."""
    words = ["evaluate", "--model", str(make_model()), "--out", str(tmp_path / "out"), "--quiet"]
    for more, message in (
        ([], "required: --pack"),
        (["--counterfactual", "--groups", "person"], "--groups needs"),
        (["--pack", "x.pack", "--drawn", "8"], "--drawn is for --counterfactual"),
        (["--pack", "x.pack", "--min-group", "8"], "--min-group is for --groups"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*words, *more])
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
    assert main([*words, "--counterfactual", "--drawn", "8"]) == 0
    printed = capsys.readouterr().out
    assert "Drawn faces (n = 8)" in printed
    assert "sunglasses" in printed
