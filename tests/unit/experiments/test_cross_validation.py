"""Cross-validation: every training face once, predicted by the network that was not trained on it."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from mien.audit.stage import audit
from mien.cli import main
from mien.errors import ArtifactError, RecipeError
from mien.experiments.cross_validation import (
    OutOfFold,
    fit_temperatures,
    plan_folds,
    summarize_folds,
    train_folds,
    write_out_of_fold,
)
from mien.experiments.series import Series
from mien.export.stage import export
from mien.formats.pack import Pack
from mien.formats.run import Run
from mien.metrics.calibration import fit_temperature
from mien.recipe import Recipe, format_recipe

N_FOLDS = 3
CLASSES = ("Neutral", "Happy", "Sad")


def in_this_process(words: Sequence[str]) -> int:
    return main(list(words))


@pytest.fixture(scope="module")
def recipe_path(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Recipe) -> Path:
    """The tiny recipe for two epochs, as a file."""
    path = tmp_path_factory.mktemp("recipes") / "recipe.yaml"
    path.write_text(format_recipe(replace(tiny_recipe, schedule=replace(tiny_recipe.schedule, epochs=2))))
    return path


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, training_pack: Path, recipe_path: Path
) -> tuple[Series, str]:
    """A cross-validation, and what it printed. Do not write into it."""
    out = tmp_path_factory.mktemp("folds") / "out"
    series = Series(out, "folds", (training_pack,), plan_folds(recipe_path, [], N_FOLDS))
    return series, str(train_folds(series, start=in_this_process))


@pytest.fixture(scope="module")
def rows(trained: tuple[Series, str]) -> list[dict[str, str]]:
    """The rows of out_of_fold.csv."""
    with (trained[0].out / "out_of_fold.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_folds_are_planned(recipe_path: Path) -> None:
    """A run for each fold, of one recipe and one split."""
    runs = plan_folds(recipe_path, ["--data.split_seed=7"], 4)
    assert [(run.folder, run.title) for run in runs] == [(f"fold-{i}", f"fold {i}") for i in range(4)]
    assert [(run.recipe.data.folds, run.recipe.data.fold) for run in runs] == [(4, i) for i in range(4)]
    assert {(run.recipe.data.split_seed, run.recipe.runtime.seed) for run in runs} == {(7, 0)}


@pytest.mark.parametrize("n_folds", [-1, 0, 1, 101])
def test_too_few_or_too_many_folds(recipe_path: Path, n_folds: int) -> None:
    """The recipe's own range applies."""
    with pytest.raises(RecipeError, match=rf"`data\.folds` must be from 2 to 100, got {n_folds}"):
        plan_folds(recipe_path, [], n_folds)


@pytest.mark.parametrize("key", ["model.weights", "schedule.loss.teacher"])
def test_folds_cannot_start_from_a_run(recipe_path: Path, tmp_path: Path, key: str) -> None:
    """It was trained on the faces that the folds hold out."""
    with pytest.raises(RecipeError, match=rf"--folds cannot be used with `{key}: .*`: that run was trained"):
        plan_folds(recipe_path, [f"--{key}={tmp_path}"], 4)


def test_folds_cannot_start_from_what_a_run_became(
    recipe_path: Path, training_pack: Path, trained_run: Path, tmp_path: Path
) -> None:
    """Neither from its file of weights nor from its export; from a model of other faces they can."""
    weights = trained_run / "checkpoints" / "best.safetensors"
    with pytest.raises(RecipeError, match="that run was trained"):
        plan_folds(recipe_path, [f"--model.weights={weights}"], N_FOLDS)
    export(trained_run, tmp_path / "exported.onnx")

    def series(path: Path | str) -> Series:
        runs = plan_folds(recipe_path, [f"--model.weights={path}"], N_FOLDS)
        return Series(tmp_path / "out", "folds", (training_pack,), runs)

    with pytest.raises(RecipeError, match="that run was trained"):
        train_folds(series(tmp_path / "exported.onnx"), start=in_this_process)
    assert not (tmp_path / "out").exists()
    with pytest.raises(StartedError):
        train_folds(series("bundled"), start=stop)


class StartedError(Exception):
    """The first run has begun."""


def stop(_words: Sequence[str]) -> int:
    raise StartedError


def test_every_training_face_is_there_once(rows: list[dict[str, str]], training_pack: Path) -> None:
    """In the pack's order, with its label."""
    split = Pack.open(training_pack).split("train")
    assert list(rows[0]) == ["key", "pack", "fold", "true", "predicted", *(f"p_{name}" for name in CLASSES)]
    assert [row["key"] for row in rows] == split.keys
    assert [row["true"] for row in rows] == [CLASSES[label] for label in split.labels]
    assert {row["pack"] for row in rows} == {str(training_pack)}
    assert sorted({row["fold"] for row in rows}) == ["0", "1", "2"]


def test_each_prediction_is_the_folds_own(trained: tuple[Series, str], rows: list[dict[str, str]]) -> None:
    """The probabilities are those of the fold's dev.npz at its temperature; no other fold held the face out."""
    out = trained[0].out
    folds = json.loads((out / "summary.json").read_text())["folds"]
    n_seen = 0
    for number, fold in enumerate(folds):
        dev = Run.open(out / fold["folder"]).read_dev_outputs()
        powers = np.exp(dev.logits.astype(np.float64) / fold["temperature"])
        mine = [rows[place] for place in dev.rows]
        got = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in mine])
        np.testing.assert_allclose(got, powers / powers.sum(axis=1, keepdims=True), rtol=1e-6)
        assert {row["fold"] for row in mine} == {str(number)}
        assert [row["predicted"] for row in mine] == [CLASSES[i] for i in dev.logits.argmax(axis=1)]
        n_seen += len(mine)
    assert n_seen == len(rows)


def test_the_pooled_figures_are_sklearns(trained: tuple[Series, str], rows: list[dict[str, str]]) -> None:
    """Recomputed from out_of_fold.csv; the intervals contain the figures."""
    pooled = json.loads((trained[0].out / "summary.json").read_text())["pooled"]
    truth, answers = ([row[name] for row in rows] for name in ("true", "predicted"))
    assert pooled["n"] == len(rows) == 192
    expected = {
        "accuracy": accuracy_score(truth, answers),
        "balanced_accuracy": balanced_accuracy_score(truth, answers),
        "macro_f1": f1_score(truth, answers, average="macro", zero_division=0),
    }
    for name, value in expected.items():
        assert pooled[name] == pytest.approx(value)
        low, high = pooled[f"{name}_ci95"]
        assert low <= value <= high
        assert low < high


def test_the_table_of_folds(trained: tuple[Series, str]) -> None:
    """A row for each fold with its run's scores, then mean and standard deviation, n, and what selected the checkpoint."""
    series, text = trained
    dev = [Run.open(series.out / run.folder).read_result()["dev"] for run in series.runs]
    with (series.out / "summary.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(row["n"]) for row in table] == [scores["n"] for scores in dev]
    assert [float(row["macro_f1"]) for row in table] == [scores["macro_f1"] for scores in dev]
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[: N_FOLDS + 2]] == ["fold", "0", "1", "2", "mean"]
    values = [scores["accuracy"] for scores in dev]
    assert f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" in lines[N_FOLDS + 1]
    assert "all 192 training faces" in text
    assert "selected by balanced_accuracy" in text
    assert "do not report them as results" in " ".join(text.split())


def test_a_temperature_never_saw_its_own_fold() -> None:
    """Other labels in a fold change the temperatures of the others, not its own."""
    random = np.random.default_rng(0)
    logits = [random.normal(size=(50, 3)).astype(np.float32) * 4 for _ in range(3)]
    labels = [one.argmax(axis=1) for one in logits]
    labels[2] = random.integers(0, 3, 50)
    before = fit_temperatures(logits, labels)
    after = fit_temperatures(logits, [labels[0], labels[1], (labels[2] + 1) % 3])
    assert before[2] == after[2]
    assert before[0] != after[0]
    assert before[0] == fit_temperature(np.concatenate(logits[1:]), np.concatenate(labels[1:]))


def test_faces_of_several_packs(
    make_training_pack: Callable[..., Path], training_pack: Path, tmp_path: Path
) -> None:
    """Each face has its pack along with its key, which may be in both."""
    other = make_training_pack(tmp_path / "other.pack", n_train=3, n_missing=0)
    numbers, places = np.array([0, 0, 1]), np.array([4, 9, 2])
    faces = OutOfFold(
        CLASSES, numbers, places, np.array([1, 0, 1]), np.array([0, 1, 2]), np.eye(3)[[0, 1, 0]]
    )
    write_out_of_fold(tmp_path / "faces.csv", faces, [training_pack, other])
    assert (tmp_path / "faces.csv").read_text().splitlines()[1:] == [
        f"train/4.jpg,{training_pack},1,Neutral,Neutral,1,0,0",
        f"train/9.jpg,{training_pack},0,Happy,Happy,0,1,0",
        f"train/2.jpg,{other},1,Sad,Neutral,1,0,0",
    ]


def change_dev(out: Path, folder: str, **arrays: np.ndarray | None) -> None:
    with np.load(out / folder / "dev.npz") as values:
        kept = {name: value for name, value in {**values, **arrays}.items() if value is not None}
    np.savez(out / folder / "dev.npz", **kept)
    run = Run.open(out / folder)
    run.write_result(run.read_result())


@pytest.fixture
def copied(trained: tuple[Series, str], tmp_path: Path) -> Series:
    """A copy of the cross-validation, to be damaged."""
    return replace(trained[0], out=Path(shutil.copytree(trained[0].out, tmp_path / "out")))


def test_runs_that_did_not_record_their_faces(copied: Series) -> None:
    """Runs of an earlier release cannot be combined."""
    change_dev(copied.out, "fold-1", rows=None)
    with pytest.raises(ArtifactError, match=r"earlier release.*--force"):
        summarize_folds(copied)


def test_a_face_in_two_folds_is_refused(copied: Series) -> None:
    """Each face must be predicted once."""
    rows = Run.open(copied.out / "fold-0").read_dev_outputs().rows
    assert rows is not None
    change_dev(copied.out, "fold-0", rows=np.concatenate([rows[1:], rows[1:2]]))
    with pytest.raises(ArtifactError, match="192 predictions for 191 faces"):
        summarize_folds(copied)


def test_outputs_of_another_run(copied: Series) -> None:
    """A fold whose outputs have changed since its run wrote them is an error."""
    shutil.copy(copied.out / "fold-0" / "dev.npz", copied.out / "fold-1" / "dev.npz")
    with pytest.raises(ArtifactError, match=r"fold-1/dev\.npz has changed since it was written"):
        summarize_folds(copied)


def test_a_cross_validation_resumes(copied: Series) -> None:
    """Finished folds are kept; the files at the end are the same again."""
    before = {path.name: path.read_text() for path in copied.out.glob("*.csv")}
    (copied.out / "fold-2" / "result.json").unlink()
    started: list[str] = []

    def start(words: Sequence[str]) -> int:
        started.append(words[words.index("--out") + 1])
        return main(list(words))

    train_folds(copied, resume=True, start=start)
    assert started == [str(copied.out / "fold-2")]
    assert {path.name: path.read_text() for path in copied.out.glob("*.csv")} == before


@pytest.mark.parametrize("options", [["--seeds", "2"], ["--sweep", "schedule.epochs=1,2"]])
def test_folds_are_not_combined(
    recipe_path: Path,
    training_pack: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    """One line, and exit code 2."""
    words = [
        "train",
        "--recipe",
        recipe_path,
        "--pack",
        training_pack,
        "--out",
        tmp_path / "out",
        "--folds",
        2,
    ]
    assert main([str(word) for word in [*words, *options]]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "`--folds` cannot be combined" in printed.err
    assert not (tmp_path / "out").exists()


def test_an_audit_judges_every_face_by_these_predictions(
    trained: tuple[Series, str], training_pack: Path, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    """What `mien audit --folds` reads from the runs is what out_of_fold.csv has."""
    found = audit(training_pack, out=tmp_path / "audit", folds=trained[0].out)
    assert found.record["n_judged"] == len(rows)
    assert found.record["agreement"] == pytest.approx(
        np.mean([row["true"] == row["predicted"] for row in rows])
    )
    by_key = {row["key"]: row for row in rows}
    for one in found.findings:
        if one.p_labeled is not None:
            assert one.p_labeled == pytest.approx(float(by_key[one.key][f"p_{one.labeled}"]), abs=1e-6)
