"""`mien predict` from its arguments to its effects."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.cli import main
from mien.faces.detector import Detector
from mien.inference.decision_rule import DecisionRule
from mien.inference.video.options import SMOOTHING_S
from mien.predict import stage
from mien.predict.image_rows import PredictSummary


@pytest.fixture(autouse=True)
def squares_are_faces(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    """Detect colored squares as faces."""
    monkeypatch.setattr(stage, "load_detector", lambda path, min_face_px=0: detector)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the arguments of the command, which is not run."""
    seen: dict[str, Any] = {}

    def run_predict(sources: Any, model: Any, **rest: Any) -> PredictSummary:
        seen.update(rest, sources=sources, model=model)
        return PredictSummary(n_images=1, n_faces=2)

    monkeypatch.setattr(stage, "run_predict", run_predict)
    return seen


def test_options_are_passed_on(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "a.mp4 --camera 2 --every 5 --no-smoothing --max-seconds 1.5 --frames 9 --timeline t.svg --show --draw d"
    assert (
        main(
            [
                "predict",
                *arguments.split(),
                "--top",
                "2",
                "--classes",
                "7",
                "--min-confidence",
                "0.4",
                "--prior",
                "half",
            ]
        )
        == 0
    )
    options = given["options"]
    assert given["sources"] == ["a.mp4", 2]
    video = options.video
    assert (video.detect_every, video.smoothing_s, video.max_seconds, video.max_frames) == (5, 0.0, 1.5, 9)
    assert (options.timeline, options.draw, options.show) == (Path("t.svg"), Path("d"), True)
    assert options.rule == DecisionRule(7, 0.4, 2, "half")
    assert capsys.readouterr().err == "mien: 2 faces in 1 image\n"


def test_default_options(given: dict[str, Any]) -> None:
    assert main(["predict", "a.jpg"]) == 0
    assert (given["options"].video.detect_every, given["options"].video.smoothing_s) == (3, SMOOTHING_S)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "name an image, video, folder, camera or URL"),
        ("--camera -1", "must be 0 or more, got -1"),
        ("--camera front", "invalid integer value"),
        ("a.mp4 --every 0", "must be 1 or more, got 0"),
        ("a.mp4 --max-seconds 0", "must be more than 0, got 0.0"),
        ("a.mp4 --max-seconds nan", "must be more than 0, got nan"),
        ("a.mp4 --frames -3", "must be 1 or more, got -3"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *arguments.split()])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_failure_is_one_line_and_ends_with_1(model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "no such file.jpg", "--model", str(model_path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith("mien: no such file.jpg does not exist.")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("names", "code", "last"),
    [
        pytest.param(("text.jpg",), 1, "0 of 1 source could be read", id="an image"),
        pytest.param(("text.jpg", "text.mp4"), 1, "0 of 2 sources could be read", id="an image and a video"),
        pytest.param(("http://127.0.0.1:1/a.jpg",), 1, "0 of 1 source could be read", id="an address"),
        pytest.param(("text.jpg", "face.png"), 0, "1 face in 2 images, 1 unreadable", id="one of two"),
        pytest.param(
            ("http://127.0.0.1:1/a.jpg", "face.png"), 0, ", 1 unreadable", id="an address, one of two"
        ),
        pytest.param(("gray.png",), 0, "0 faces in 1 image, 1 with no face", id="no face"),
    ],
)
def test_the_exit_code_says_whether_anything_was_read(
    names: tuple[str, ...],
    code: int,
    last: str,
    model_path: Path,
    make_image: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every source has a row in the output in any case; an image without a face was read."""
    folder = make_image("face.png", ("Happy", 10, 10, 40)).parent
    make_image("gray.png")
    for name in ("text.jpg", "text.mp4"):
        (folder / name).write_text("no image")
    sources = [name if name.startswith("http") else str(folder / name) for name in names]
    out = folder / "rows.jsonl"
    assert main(["predict", *sources, "--model", str(model_path), "--out", str(out)]) == code
    assert last in capsys.readouterr().err.splitlines()[-1]
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["source"] for row in rows] == sources


def test_a_list_on_standard_input_is_read(
    tmp_path: Path,
    model_path: Path,
    make_image: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = [make_image(f"{name}.png", ("Happy", 10, 10, 40)) for name in "ba"]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{path}\n" for path in paths)))
    out = tmp_path / "rows.jsonl"
    assert main(["predict", "-", "--model", str(model_path), "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["source"] for row in rows] == [str(path) for path in paths]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_the_table_in_any_encoding(
    encoding: str,
    make_image: Callable[..., Path],
    model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the terminal or pipe cannot encode is escaped; what folders hold besides is on the last line."""
    image = make_image("高 é/ł.png", ("Happy", 10, 10, 40))
    (image.parent / "notes.txt").touch()
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding=encoding, write_through=True)
    monkeypatch.setattr("sys.stdout", stream)
    assert main(["predict", str(image.parent), "--model", str(model_path)]) == 0
    shown = data.getvalue().decode(encoding)
    expected = "ł.png".encode(encoding, "backslashreplace").decode(encoding)
    assert f"{expected}     0  Happy" in shown
    assert len(shown.splitlines()) == 2
