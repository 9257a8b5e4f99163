"""Training logs."""

import json
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from matplotlib.figure import Figure

from mien.train import logs as log
from mien.train.logs import append_metrics, best_epoch, draw_curves, read_metrics, write_provenance


def epoch_row(epoch: int, score: float, **more: float) -> dict[str, float | int]:
    return {
        "epoch": epoch,
        "learning_rate": 0.1,
        "train_total": 1.5,
        "dev_loss": 1.0,
        "dev_accuracy": score,
        **more,
    }


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    """Before the first epoch there are no metrics."""
    assert read_metrics(tmp_path / "metrics.csv") == []


def test_a_repeated_epoch_replaces_later_rows(tmp_path: Path) -> None:
    """A resumed run repeats an epoch; rows from there on, left by the killed one, are removed."""
    path = tmp_path / "metrics.csv"
    for epoch in (1, 2, 3):
        append_metrics(path, epoch_row(epoch, 0.5))
    append_metrics(path, epoch_row(2, 0.7))
    assert [(row["epoch"], row["dev_accuracy"]) for row in read_metrics(path)] == [("1", "0.5"), ("2", "0.7")]


def test_a_metric_may_be_missing_in_an_epoch(tmp_path: Path) -> None:
    """A correlation that is undefined in an epoch leaves its cell empty, before and after."""
    path = tmp_path / "metrics.csv"
    append_metrics(path, epoch_row(1, 0.5, dev_valence_ccc=0.1))
    append_metrics(path, epoch_row(2, 0.5))
    append_metrics(path, epoch_row(3, 0.5, dev_arousal_ccc=0.2))
    rows = read_metrics(path)
    assert [row["dev_valence_ccc"] for row in rows] == ["0.1", "", ""]
    assert [row["dev_arousal_ccc"] for row in rows] == ["", "", "0.2"]
    draw_curves(path, tmp_path / "curves.png", "accuracy")


def test_the_first_of_equal_epochs_is_the_best(tmp_path: Path) -> None:
    """The earlier epoch wins a tie, also one that arises from the file's six digits."""
    path = tmp_path / "metrics.csv"
    for epoch, score in enumerate((0.2, 1 / 3, 1 / 3, 0.33333301, 0.3), start=1):
        append_metrics(path, epoch_row(epoch, score))
    assert best_epoch(path, "accuracy") == 2


def test_the_best_loss_is_the_lowest(tmp_path: Path) -> None:
    """Of the dev faces, the first epoch if several tie; the other metrics play no part."""
    path = tmp_path / "metrics.csv"
    for epoch, loss in enumerate((0.9, 0.4, 0.4, 0.7), start=1):
        append_metrics(path, {**epoch_row(epoch, 0.1 * epoch), "dev_loss": loss})
    assert best_epoch(path, "loss") == 2
    assert best_epoch(path, "accuracy") == 4


def test_the_best_landmark_error_is_the_lowest(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for epoch, nme in enumerate((0.2, 0.1, 0.3), start=1):
        append_metrics(path, {**epoch_row(epoch, 0.1 * epoch), "dev_nme": nme})
    assert best_epoch(path, "nme") == 2


def test_an_epoch_with_an_undefined_metric_is_not_the_best(tmp_path: Path) -> None:
    """Such as a correlation with a constant, as long as it is defined in another one."""
    path = tmp_path / "metrics.csv"
    for epoch, ccc in enumerate((None, -0.2, None), start=1):
        extra = {} if ccc is None else {"dev_mean_ccc": ccc}
        append_metrics(path, epoch_row(epoch, 0.1 * epoch) | extra)
    assert best_epoch(path, "mean_ccc") == 2


def test_curves_are_an_image(tmp_path: Path) -> None:
    """One epoch is enough for a plot."""
    append_metrics(tmp_path / "metrics.csv", epoch_row(1, 0.5))
    draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png", "accuracy")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.partial*"))


def test_curves_show_one_quantity_each_and_the_selected_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every column of metrics.csv is in one panel, as it stands in the file; only the two expression losses share one."""
    drawn: list[Figure] = []
    monkeypatch.setattr(log, "save_figure", lambda figure, _: drawn.append(figure))
    path = tmp_path / "metrics.csv"
    for epoch, score in enumerate((0.2, 0.9, 0.4), start=1):
        append_metrics(path, epoch_row(epoch, score, train_expression=2.0 / epoch, dev_nme=0.1 * epoch))
    draw_curves(path, tmp_path / "curves.png", "accuracy")
    (figure,) = drawn
    assert "epoch 2 of 3" in figure.get_suptitle()
    panels = {panel.get_title(loc="left"): panel for panel in figure.axes}
    assert set(panels) == {
        "expression loss", "dev accuracy (selects the epoch)", "dev nme", "train total", "learning rate",
    }  # fmt: skip
    curves = {
        title: [line for line in panel.lines if len(line.get_xdata()) == 3] for title, panel in panels.items()
    }
    assert {title: len(lines) for title, lines in curves.items()} == dict.fromkeys(panels, 1) | {
        "expression loss": 2
    }
    assert list(curves["dev nme"][0].get_ydata()) == pytest.approx([0.1, 0.2, 0.3])
    assert [text.get_text() for text in panels["dev accuracy (selects the epoch)"].texts] == ["0.9"]


def test_provenance(tmp_path: Path) -> None:
    """A run records versions, hardware, command and time."""
    write_provenance(tmp_path / "provenance.json", {"seed": 3})
    value = json.loads((tmp_path / "provenance.json").read_text())
    assert value["seed"] == 3
    assert value["packages"]["torch"]
    assert value["hardware"]["cpu_cores"] >= 1
    assert value["command"]
    assert value["started"].endswith("+00:00")


def test_the_commit_is_miens_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed inside another repository, mien does not take that repository's commit for its own."""
    package = tmp_path / "venv"
    package.mkdir()
    try:
        for command in (
            ["init", "-q"],
            ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
        ):
            subprocess.run(["git", "-C", str(tmp_path), *command], check=True, capture_output=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git is not here")
    monkeypatch.setattr(log, "__file__", str(package / "log.py"))
    write_provenance(tmp_path / "provenance.json", {})
    value = json.loads((tmp_path / "provenance.json").read_text())
    assert value["commit"] is None
    assert value["uncommitted_changes"] is None
