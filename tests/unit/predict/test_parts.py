"""Many images in parts: the same bytes however often and wherever the run is interrupted, and what is refused."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import ArtifactError
from mien.faces.detector import Detector
from mien.inference.decision_rule import DecisionRule
from mien.inference.results import FacePrediction
from mien.predict import parts, stage
from mien.predict.options import PREDICTION_FORMATS, PredictOptions
from mien.predict.stage import run_predict

N_IMAGES = 11
# Predicts as the command does, in parts of three images that take a while each.
SLOW = """
import sys, time
from pathlib import Path
from mien.cli import main
from mien.predict import image_rows, parts
parts.PART_IMAGES = 3
add = image_rows.PredictSummary.add
def add_slowly(self, prediction):
    time.sleep(0.1)
    add(self, prediction)
image_rows.PredictSummary.add = add_slowly
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def squares_are_faces(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    """Detect colored squares as faces, and limit parts to 4 images."""
    monkeypatch.setattr(stage, "load_detector", lambda path, min_face_px=0: detector)
    monkeypatch.setattr(parts, "PART_IMAGES", 4)


@pytest.fixture
def folder(tmp_path: Path, make_image: Callable[..., Path]) -> Path:
    """A folder of images with a face, one with two, one with none, and an unreadable one."""
    for number in range(N_IMAGES - 3):
        make_image(f"in/{number}.png", ("Happy", 10 + number, 10, 40))
    make_image("in/two.png", ("Happy", 10, 10, 40), ("Sad", 80, 20, 80))
    make_image("in/none.png")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"")
    return tmp_path / "in"


def run(folder: Path, model: Path, **options: Any) -> str:
    return str(
        run_predict(
            [folder],
            model,
            options=PredictOptions(**options),
            stream=io.StringIO(),
        )
    )


def run_until(
    number: int, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> None:
    """Run, and stop as by Ctrl-C at a given image."""
    n_images = 0
    write_images = parts.FacePredictor.write_images

    def stop(*arguments: Any) -> Any:
        nonlocal n_images
        for prediction in write_images(*arguments):
            n_images += 1
            if n_images > number:
                raise KeyboardInterrupt
            yield prediction

    with monkeypatch.context() as patched:
        patched.setattr(parts.FacePredictor, "write_images", stop)
        with pytest.raises(KeyboardInterrupt):
            run(folder, model, **options)


@pytest.mark.parametrize("suffix", PREDICTION_FORMATS)
@pytest.mark.parametrize("stop", [0, 5, 10])
def test_a_resumed_run_writes_the_same_bytes(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, stop: int
) -> None:
    """The parts are gone at the end."""
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"rows{suffix}"
    summary = run(folder, model_path, out=whole)
    run_until(stop, folder, model_path, monkeypatch, out=out)
    assert not out.exists()
    assert len(list(Path(f"{out}.parts").glob("*.jsonl"))) == stop // 4
    assert run(folder, model_path, out=out, resume=True) == summary
    assert out.read_bytes() == whole.read_bytes()
    assert not Path(f"{out}.parts").exists()


def test_finished_parts_are_not_predicted_again(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "rows.jsonl"
    run_until(9, folder, model_path, monkeypatch, out=out)
    made = []
    make_part = parts.make_part
    monkeypatch.setattr(
        parts, "make_part", lambda task, *rest: (made.append(task.number), make_part(task, *rest))
    )
    run(folder, model_path, out=out, resume=True)
    assert made == [2]


def test_few_images_are_not_divided(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are those of the parts, which only end a batch early."""
    run(folder, model_path, out=tmp_path / "parts.jsonl")
    monkeypatch.setattr(parts, "PART_IMAGES", N_IMAGES)
    monkeypatch.setattr(parts, "make_part", None)
    run(folder, model_path, out=tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl").read_bytes() == (tmp_path / "parts.jsonl").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_write_the_same_bytes(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """In processes that load the model themselves, from a list of relative names, with annotated copies."""
    monkeypatch.chdir(tmp_path)
    options = {"crop": "whole", "rule": DecisionRule(top=2)}
    summary = run(Path("in"), model_path, out=Path("here.csv"), draw=Path("a"), **options)
    relative_model = Path(os.path.relpath(model_path))
    assert summary == run(
        Path("in"),
        relative_model,
        out=Path("there.csv"),
        draw=Path("b"),
        engine="pool",
        workers=workers,
        **options,
    )
    assert Path("here.csv").read_bytes() == Path("there.csv").read_bytes()
    copies = [path.relative_to("a") for path in sorted(Path("a").rglob("*.*"))]
    assert len(copies) == N_IMAGES - 1
    for copy in copies:
        assert (Path("a") / copy).read_bytes() == (Path("b") / copy).read_bytes()


def change_an_image(folder: Path, _model: Path) -> dict[str, Any]:
    os.utime(folder / "two.png", (1, 1))
    return {}


def add_an_image(folder: Path, _model: Path) -> dict[str, Any]:
    shutil.copy(folder / "two.png", folder / "zzz.png")
    return {}


def remove_an_image(folder: Path, _model: Path) -> dict[str, Any]:
    (folder / "two.png").unlink()
    return {}


def change_the_rule(_folder: Path, _model: Path) -> dict[str, Any]:
    return {"rule": DecisionRule(min_confidence=0.5)}


def change_the_crop(_folder: Path, _model: Path) -> dict[str, Any]:
    return {"crop": "whole"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_an_image, "other images: the first difference, .*, is among images 9 to 12 of the list"),
        (add_an_image, "among images 9 to 12"),
        (remove_an_image, "among images 9 to 12"),
        (change_the_rule, "another value of --min-confidence"),
        (change_the_crop, "another value of detector, --crop"),
    ],
)
def test_another_run_is_not_resumed(
    folder: Path,
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, Path], dict[str, Any]],
    message: str,
) -> None:
    """What was begun is kept, until --force starts over."""
    out = tmp_path / "rows.jsonl"
    run_until(9, folder, model_path, monkeypatch, out=out)
    options = change(folder, model_path)
    with pytest.raises(ArtifactError, match=message):
        run(folder, model_path, out=out, resume=True, **options)
    with pytest.raises(ArtifactError, match=r"rows\.jsonl\.parts holds the parts of an interrupted run"):
        run(folder, model_path, out=out, **options)
    assert len(list(Path(f"{out}.parts").glob("*.jsonl"))) == 2
    run(folder, model_path, out=out, force=True, **options)
    assert out.exists()
    assert not Path(f"{out}.parts").exists()


def test_another_model_is_not_resumed(
    folder: Path, write_model: Callable[..., Path], model_path: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    out = tmp_path / "rows.jsonl"
    run_until(9, folder, model_path, monkeypatch, out=out)
    other = write_model(landmarks=np.zeros((68, 2), np.float32))
    with pytest.raises(ArtifactError, match="another value of model"):
        run(folder, other, out=out, resume=True)


def test_the_limit_of_sizes_is_in_the_summary(folder: Path, model_path: Path, tmp_path: Path) -> None:
    """The number of faces that it left out is not known, so none is stated; several parts do not add it up."""
    expected = "10 faces of at least 30 px in 11 images, 1 with no face of that size, 1 unreadable"
    assert run(folder, model_path, out=tmp_path / "rows.csv", min_face_px=30) == expected
    assert run(folder, model_path, min_face_px=30) == expected


@pytest.mark.parametrize("keep", [0, 10, -3])
def test_a_damaged_part_is_made_again(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int
) -> None:
    out = tmp_path / "rows.jsonl"
    run(folder, model_path, out=tmp_path / "whole.jsonl")
    run_until(9, folder, model_path, monkeypatch, out=out)
    part = Path(f"{out}.parts") / "000001.jsonl"
    part.write_bytes(part.read_bytes()[:keep])
    run(folder, model_path, out=out, resume=True)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_part_says_what_it_is(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(9, folder, model_path, monkeypatch, out=tmp_path / "rows.csv")
    lines = (tmp_path / "rows.csv.parts" / "000001.jsonl").read_text().splitlines()
    assert [Path(json.loads(line)["source"]).name for line in lines[:-1]] == [
        "4.png",
        "5.png",
        "6.png",
        "7.png",
    ]
    last_line = json.loads(lines[-1])
    assert (last_line["part"], last_line["summary"]["n_faces"]) == (1, 4)
    assert not list((tmp_path / "rows.csv.parts").glob("*.partial"))


def test_a_worker_that_sees_no_image_says_so(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Instead of a row `missing_file` for each: it may be on a machine without the file system."""
    make_part = parts.make_part

    def unmount(task: Any, *rest: Any) -> None:
        folder.rename(tmp_path / "gone")
        make_part(task, *rest)

    monkeypatch.setattr(parts, "make_part", unmount)
    with pytest.raises(ArtifactError, match=r"0\.png vanished, or a worker on .* cannot see it"):
        run(folder, model_path, out=tmp_path / "rows.jsonl")


@pytest.mark.parametrize("options", [{"engine": "pool"}, {"workers": 2}, {"resume": True}])
def test_options_of_parts_need_images_and_a_file(
    folder: Path, model_path: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(ArtifactError, match=r"is for rows that go to a file\. Add --out FILE"):
        run(folder, model_path, **options)
    (folder / "a.avi").write_bytes(b"")
    with pytest.raises(ArtifactError, match="1 of 12 sources are videos, cameras or addresses"):
        run(folder, model_path, out=tmp_path / "rows.csv", **options)


@pytest.mark.parametrize("suffix", PREDICTION_FORMATS)
@pytest.mark.parametrize("options", [{}, {"aggregate": ("file",)}], ids=["rows", "aggregated"])
def test_nothing_is_left_of_a_finished_file(
    folder: Path, model_path: Path, tmp_path: Path, caplog: Any, suffix: str, options: dict[str, Any]
) -> None:
    """A script that resumes until it succeeds can repeat it, wherever it was killed, but not with other images."""
    (folder / "none.png").rename(folder / "\udce4,\n.png")
    out = tmp_path / f"rows{suffix}"
    run(folder, model_path, out=out, resume=True, **options)
    written = out.read_bytes()
    Path(f"{out}.parts").mkdir()
    (Path(f"{out}.parts") / "plan.json").write_text("{}")
    os.utime(Path(f"{out}.parts") / "plan.json", (1, 1))
    with caplog.at_level("INFO"):
        assert run(folder, model_path, out=out, resume=True, **options) == "None"
    assert f"{out} is finished: it has the rows of all 11 images, and nothing is left to do" in caplog.text
    assert not Path(f"{out}.parts").exists()
    (folder / "0.png").rename(folder / "new.png")
    os.utime(folder / "1.png", (2e9, 2e9))
    with pytest.raises(
        ArtifactError, match=r"is finished, but .*: 1 new, 1 gone, 1 changed, such as .*0\.png"
    ):
        run(folder, model_path, out=out, resume=True, **options)
    assert out.read_bytes() == written
    run(folder, model_path, out=out, resume=True, force=True, **options)
    assert out.read_bytes() != written


def test_what_is_not_a_finished_file_of_the_same_command_is_not_replaced(
    folder: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of the user's, a file without its annotated copies, one that an interrupted --force was replacing."""
    (tmp_path / "mine.csv").write_text("name,age\na,1\n")
    with pytest.raises(ArtifactError, match="already exists"):
        run(folder, model_path, out=tmp_path / "mine.csv", resume=True)
    out = tmp_path / "rows.csv"
    run(folder, model_path, out=out)
    with pytest.raises(ArtifactError, match="already exists"):
        run(folder, model_path, out=out, resume=True, draw=tmp_path / "drawn")
    run_until(9, folder, model_path, monkeypatch, out=out, force=True)
    with pytest.raises(ArtifactError, match="already exists"):
        run(folder, model_path, out=out, resume=True)
    assert Path(f"{out}.parts").exists()


def test_a_folder_in_the_way_stays(folder: Path, model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv.parts").mkdir()
    (tmp_path / "rows.csv.parts" / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="is in the way"):
        run(folder, model_path, out=tmp_path / "rows.csv", force=True, resume=True)
    assert (tmp_path / "rows.csv.parts" / "mine.txt").exists()


def test_a_row_is_read_as_it_was_written() -> None:
    row = FacePrediction(
        "ä\udce9.jpg",
        face=0,
        box_xyxy=np.array([1.234567, 2, 3, 4]),
        score=0.1234567,
        expression="Happy",
        confidence=1 / 3,
        probabilities={"Happy": 1 / 3, "Sad": 2 / 3},
        landmarks=np.random.default_rng(0).uniform(-5, 5000, (68, 2)),
        valence=-1e-9,
        arousal=0.5,
    )
    written = json.dumps(row.to_dict())
    assert json.dumps(FacePrediction.from_dict(json.loads(written)).to_dict()) == written


def test_a_killed_command_is_resumed(folder: Path, model_path: Path, tmp_path: Path) -> None:
    """Kill -9 in the midst, twice; then --resume ends in the bytes of an uninterrupted run."""
    command = [
        sys.executable,
        "-c",
        SLOW,
        "predict",
        str(folder),
        "--model",
        str(model_path),
        "--crop",
        "whole",
    ]
    whole, out = tmp_path / "whole.jsonl", tmp_path / "rows.jsonl"
    run(folder, model_path, out=whole, crop="whole")
    for n_parts in (1, 2):
        with subprocess.Popen(
            [*command, "--out", str(out), "--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 60
            while len(list(tmp_path.glob("rows.jsonl.parts/*.jsonl"))) < n_parts:
                assert time.monotonic() < deadline, "no part appeared"
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
    assert not out.exists()
    subprocess.run([*command, "--out", str(out), "--resume"], check=True, capture_output=True)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("rows")) == ["rows.jsonl"]
