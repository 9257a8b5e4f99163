"""Each thing that CONTRIBUTING explains how to add is added here at run time, in the place that it names, and used.

The opposite too: a name that is not in its table is an error wherever it is given, with the name that was meant.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TextIO

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="losses and recipes need the train extra")

import torch

import mien.cli.browse
from mien.artifacts import require_suffix
from mien.browse.options import BrowseOptions
from mien.cli import main
from mien.cli.parser import read_options
from mien.compare.options import COMPARISON_FORMATS
from mien.datasets.registry import DATASETS, DatasetKind, DatasetOptions, open_dataset
from mien.errors import ArtifactError, RecipeError
from mien.formats.pack import Pack
from mien.inference.results import FacePrediction
from mien.predict.options import PREDICTION_FORMATS
from mien.recipe import DataConfig, LossConfig, format_recipe_help, read_recipe
from mien.recipe.validation import value_types
from mien.runtime.options import option
from mien.train.imbalance import SCHEMES, class_quotas, face_weights
from mien.train.losses import AFFECT_KINDS, LANDMARK_KINDS, landmark_loss

Failing = Callable[[], object]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A new module, which tables can name."""
    module = ModuleType("added_by_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def add_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type, str, str], None]]:
    """Add a name to the `Literal` of a recipe key."""

    def add(part: type, key: str, name: str) -> None:
        (field,) = [field for field in fields(part) if field.name == key]
        monkeypatch.setattr(field, "type", Literal[(*field.type.__args__, name)])
        value_types.cache_clear()

    yield add
    monkeypatch.undo()
    value_types.cache_clear()


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def write_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 255, (80, 80, 3)).astype(np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return path


def test_a_data_set(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry of the table: the help lists it, `prepare` reads it."""

    def open_it(raw: Path, val_fraction: float) -> Any:
        names = (("cheerful", "Happy"), ("gloomy", "Sad"))
        return open_dataset("folder", raw, DatasetOptions(val_fraction=val_fraction, label_names=names))

    module.open_it = open_it  # type: ignore[attr-defined]
    kind = DatasetKind(
        layout="two folders of moods",
        natural_crop="whole",
        opener="added_by_a_test:open_it",
        options=("val_fraction",),
    )
    monkeypatch.setitem(DATASETS, "moods", kind)
    assert "moods two folders of moods. Crop: whole. Takes --val-fraction." in help_of("prepare", capsys)
    for mood in ("cheerful", "gloomy"):
        for number in range(3):
            write_image(tmp_path / "raw" / mood / f"{number}.png")
    words = ["prepare", "moods", str(tmp_path / "raw"), "--out", str(tmp_path / "pack"), "--size", "32"]
    assert main([*words, "--val-fraction", "0"]) == 0
    assert Pack.open(tmp_path / "pack").info.classes == ("Happy", "Sad")


def test_a_loss(monkeypatch: pytest.MonkeyPatch, add_choice: Callable[[type, str, str], None]) -> None:
    """An entry of the table and its name in the recipe: the help, the recipe and the loss know it."""
    monkeypatch.setitem(LANDMARK_KINDS, "l1", torch.abs)
    add_choice(LossConfig, "landmarks", "l1")
    assert "one of smooth_l1, mse, wing, l1;" in " ".join(format_recipe_help().split())
    recipe = read_recipe(None, ["--schedule.loss.landmarks", "l1"])
    predicted, true = torch.full((2, 68, 2), 0.5), torch.full((2, 68, 2), 0.25)
    assert landmark_loss(predicted, true, kind=recipe.schedule.loss.landmarks).item() == pytest.approx(0.25)


def test_a_sampler(monkeypatch: pytest.MonkeyPatch, add_choice: Callable[[type, str, str], None]) -> None:
    """An entry of the table and its name in the recipe."""
    monkeypatch.setitem(SCHEMES, "cube_root", lambda n: 1 / np.cbrt(n))
    add_choice(DataConfig, "sampling", "cube_root")
    assert "square_root, effective, cube_root;" in " ".join(format_recipe_help().split())
    scheme = read_recipe(None, ["--data.sampling", "cube_root"]).data.sampling
    quotas = class_quotas(np.array([8, 1000]), scheme, n_draws=104)
    np.testing.assert_allclose(quotas, [4, 100])


@pytest.mark.parametrize(
    ("key", "table"),
    [
        pytest.param("schedule.loss.landmarks", LANDMARK_KINDS, id="landmarks"),
        pytest.param("schedule.loss.valence_arousal", AFFECT_KINDS, id="valence and arousal"),
        pytest.param("data.sampling", SCHEMES.keys() - {"none"}, id="sampling"),
        pytest.param("schedule.loss.class_weights", SCHEMES.keys() - {"uniform"}, id="class weights"),
    ],
)
def test_the_recipe_offers_what_the_table_has(key: str, table: Sequence[str]) -> None:
    """Neither lists a name that the other lacks."""
    assert set(value_types()[key].kind.__args__) == set(table)


def test_an_output_format(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry of the table; the help and the messages are built from it."""

    class TsvWriter:
        n_header_lines = 1

        def __init__(self, stream: TextIO, *_: object) -> None:
            self._csv = csv.writer(stream, delimiter="\t", lineterminator="\n")
            self._csv.writerow(["source", "status"])

        def write(self, row: FacePrediction, *_: object) -> None:
            self._csv.writerow([Path(row.source).name, row.status])

    assert ".jsonl, .csv or .parquet file" in help_of("predict", capsys)
    module.TsvWriter = TsvWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(PREDICTION_FORMATS, ".tsv", "added_by_a_test:TsvWriter")
    out = tmp_path / "rows.tsv"
    words = ["predict", str(write_image(tmp_path / "a.png")), "--crop", "whole", "--out"]
    assert main([*words, str(out)]) == 0
    assert out.read_text() == "source\tstatus\na.png\tok\n"
    (tmp_path / "other.tsv.partial").write_text("source\tstatus\n")  # no rows, nothing to keep
    assert main([*words, str(tmp_path / "other.tsv")]) == 0
    assert main([*words, str(tmp_path / "rows.tvs")]) == 1
    assert ".jsonl or .csv or .parquet or .tsv, which selects the format" in capsys.readouterr().err


def test_a_compare_format(
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    write_report: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An entry of the table, for both kinds of comparison."""

    def write_count(out: Path, document: dict[str, Any], _table: Sequence[Sequence[str]]) -> None:
        out.write_text(f"{document['n']}")

    assert "to a .json, .md, .csv or .tex file" in help_of("compare", capsys)
    module.write_count = write_count  # type: ignore[attr-defined]
    monkeypatch.setitem(COMPARISON_FORMATS, ".n", "added_by_a_test:write_count")
    reports = [str(write_report(tmp_path / f"seed-{seed}")) for seed in (0, 1)]
    for name, group in (("a", []), ("b", ["--group"])):
        assert main(["compare", *reports, *group, "--out", str(tmp_path / f"{name}.n")]) == 0
        assert (tmp_path / f"{name}.n").read_text() == "4"
    assert main(["compare", *reports, "--out", str(tmp_path / "a.jsn")]) == 1
    assert (
        "must end in .json or .md or .csv or .tex or .n, which selects the format. Did you mean `.json`?"
        in capsys.readouterr().err
    )


@pytest.fixture
def write_report() -> Callable[..., Path]:
    """Write a report of 4 faces, as `mien evaluate` does."""

    def write(path: Path) -> Path:
        path.mkdir(parents=True)
        names = ("Happy", "Sad")
        document = {
            "split": "val",
            "ece": 0.1,
            "model": {"file": f"{path.name}.onnx"},
            "pack": {"classes": names},
        }
        (path / "metrics.json").write_text(json.dumps(document))
        lines = ["key,true,predicted,p_Happy,p_Sad"]
        lines += [f"face{i},{name},{name},0.9,0.1" for i, name in enumerate(["Happy", "Happy", "Sad", "Sad"])]
        (path / "predictions.csv").write_text("\n".join(lines) + "\n")
        return path

    return write


@dataclass(frozen=True)
class MoreOptions(BrowseOptions):
    """The options of `mien browse`, and one more."""

    zoom: float = option(1.5, "enlarge every face", least=1, most=4)


def test_an_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A field of the command's dataclass: Python and the command line have the same name, default, help and limits."""
    monkeypatch.setattr(mien.cli.browse, "BrowseOptions", MoreOptions)
    assert "--zoom ZOOM enlarge every face (default: 1.5)" in help_of("browse", capsys)
    parse = mien.cli.build_parser().parse_args
    words = ["browse", "pack", "--out", "sheet.png"]
    assert read_options(MoreOptions, parse(words)) == MoreOptions()
    assert read_options(MoreOptions, parse([*words, "--zoom", "2"])).zoom == 2
    with pytest.raises(SystemExit):
        parse([*words, "--zoom", "5"])
    assert "must be from 1 to 4, got 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("use", "error", "meant"),
    [
        pytest.param(lambda: open_dataset("foldr", Path(), DatasetOptions()), ValueError, "folder", id="set"),
        pytest.param(lambda: landmark_loss(torch.ones(1), torch.ones(1), kind="wng"), ValueError, "wing", id="loss"),
        pytest.param(lambda: face_weights(np.ones(2, np.int64), "inverce"), ValueError, "inverse", id="sampler"),
        pytest.param(
            lambda: require_suffix(Path("a.jsn"), PREDICTION_FORMATS, option="--out"), ArtifactError, ".jsonl", id="file"
        ),
        pytest.param(
            lambda: read_recipe(None, ["--schedule.loss.landmarks=wng"]), RecipeError, "wing", id="loss in a recipe"
        ),
        pytest.param(
            lambda: read_recipe(None, ["--data", "{sampling: inverce}"]), RecipeError, "inverse", id="sampler in a recipe"
        ),
    ],
)  # fmt: skip
def test_an_unknown_name_is_an_error(use: Failing, error: type[Exception], meant: str) -> None:
    with pytest.raises(error, match=rf"Did you mean `{meant}`\?"):
        use()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        pytest.param(["prepare", "foldr", "raw", "--out", "p"], "folder", id="set"),
        pytest.param(
            ["train", "--pack", "p", "--out", "r", "--data.sampling=inverce"], "inverse", id="sampler"
        ),
        pytest.param(["browse", "p", "--out", "a.png", "--per-clas", "3"], "--per-class", id="option"),
    ],
)
def test_an_unknown_name_is_wrong_usage(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the command line, with exit code 2."""
    try:
        code = main(words)
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert f"Did you mean `{meant}`" in capsys.readouterr().err
