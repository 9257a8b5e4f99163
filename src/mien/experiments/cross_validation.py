"""K-fold cross-validation: every training face predicted by a network that was not trained on it.

Folds do not split near-duplicate groups (`mien.train.dataset`), so that no network has seen a copy of a face that it
predicts either.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import disk_errors, drop_aside, one_writer, write_atomically, write_json
from mien.errors import ArtifactError, RecipeError
from mien.experiments.series import MARK, SUMMARY, PlannedRun, Series, Start, open_finished, train_series
from mien.experiments.statistics import (
    MISSING,
    MeanStd,
    mean_std_of_metrics,
    metric_names,
)
from mien.formats.csv_file import write_csv
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack
from mien.formats.trained_on import was_trained_on
from mien.metrics.bootstrap import Interval, bootstrap_confusion
from mien.metrics.calibration import fit_temperature
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_f1
from mien.metrics.softmax import softmax
from mien.recipe import read_recipe
from mien.runtime.child_process import run_command
from mien.runtime.csv_text import CsvLines
from mien.runtime.text_table import format_table

FORMAT_VERSION = 1
OUT_OF_FOLD = "out_of_fold.csv"
_POOLED = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}


class OutOfFold(NamedTuple):
    """The folds' predictions for the faces that they held out, in the order of the packs.

    Attributes:
        classes: in the order of the columns.
        pack_numbers: ``(N,)`` int64 index of a face's pack.
        rows: ``(N,)`` int64 its row in that pack's train split, from 0.
        folds: ``(N,)`` int64 the fold that held it out.
        labels: ``(N,)`` int64 classes.
        probabilities: ``(N, C)`` float64.
    """

    classes: tuple[str, ...]
    pack_numbers: NDArray[np.int64]
    rows: NDArray[np.int64]
    folds: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


class Fold(NamedTuple):
    """The result of one fold.

    Attributes:
        folder: folder of its run.
        best_epoch: the selected epoch.
        temperature: divisor of its logits, fitted on the other folds' held-out faces.
        dev: n and metrics on the held-out faces.
    """

    folder: str
    best_epoch: int
    temperature: float
    dev: dict[str, Any]


class PooledMetric(NamedTuple):
    """A metric over all faces.

    Attributes:
        value: the metric.
        ci95: its 95% confidence interval.
    """

    value: float
    ci95: Interval


@dataclass(frozen=True)
class FoldsSummary:
    """The results of a cross-validation. Its text is what the command prints."""

    out: Path
    select_by: str
    n: int
    folds: list[Fold]
    metrics: dict[str, MeanStd]
    pooled: dict[str, PooledMetric]

    def __str__(self) -> str:
        pooled = ", ".join(
            f"{name.replace('_', ' ')} {metric.value:.4f} [{metric.ci95[0]:.4f}, {metric.ci95[1]:.4f}]"
            for name, metric in self.pooled.items()
        )
        names = metric_names([fold.dev for fold in self.folds])
        rows = [["fold", "n", "epoch", "temperature", *(name.replace("_", " ") for name in names)]]
        for number, fold in enumerate(self.folds):
            scores = [f"{fold.dev[name]:.4f}" if name in fold.dev else MISSING for name in names]
            rows.append(
                [str(number), f"{fold.dev['n']:,}", str(fold.best_epoch), f"{fold.temperature:.3f}", *scores]
            )
        rows.append(["mean", "", "", "", *(str(self.metrics.get(name, MISSING)) for name in names)])
        lines = [
            *format_table(rows),
            "",
            f"out of fold, all {self.n:,} training faces together: {pooled} (95% intervals)",
            f"Each network's checkpoint was selected by {self.select_by} on the faces that it holds out, which flatters the",
            "figures a little: do not report them as results. For those run `mien evaluate`.",
            f"out of fold: {self.out / OUT_OF_FOLD}",
            f"summary: {self.out / 'summary.csv'}, {SUMMARY}",
        ]
        return "\n".join(lines)


def plan_folds(recipe_name: str | Path | None, overrides: list[str], n_folds: int) -> tuple[PlannedRun, ...]:
    """Return the runs of a cross-validation.

    Args:
        recipe_name: as in `read_recipe`.
        overrides: as in `read_recipe`.
        n_folds: number of folds.

    Raises:
        RecipeError: a key or value is wrong, there are too few or too many folds, or the runs would start from a run.
    """
    runs = []
    for fold in range(max(n_folds, 1)):
        recipe = read_recipe(recipe_name, [*overrides, f"--data.folds={n_folds}", f"--data.fold={fold}"])
        weights, teacher = recipe.model.weights, recipe.schedule.loss.teacher
        for key, run in (("model.weights", weights), ("schedule.loss.teacher", teacher)):
            if run is None:
                continue
            path = Path(run)
            is_of_run = path.is_file() and any((each / "run.json").exists() for each in path.parents[:2])
            if path.is_dir() or is_of_run:
                raise _seen(key, run)
        runs.append(PlannedRun(f"fold-{fold}", f"fold {fold}", recipe, {}))
    return tuple(runs)


def _seen(key: str, name: str) -> RecipeError:
    return RecipeError(
        f"--folds cannot be used with `{key}: {name}`: that run was trained on faces that the folds hold out. "
        "Leave the key out, or name a file of weights trained on other faces"
    )


def _require_unseen_packs(series: Series) -> None:
    """Refuse a model file to start from that was trained on a pack of the series.

    Raises:
        RecipeError: it was.
    """
    name = series.runs[0].recipe.model.weights
    if name is None or not name.lower().endswith(".onnx") or not Path(name).is_file():
        return
    info = OnnxModel.load(Path(name)).info
    if any(was_trained_on(info, Pack.open(path).info) for path in series.packs):
        raise _seen("model.weights", name)


def train_folds(
    series: Series, *, resume: bool = False, force: bool = False, start: Start = run_command
) -> FoldsSummary:
    """Train the runs of `plan_folds`, then combine their predictions.

    Arguments and errors are those of `mien.experiments.series.train_series`.

    Raises:
        RecipeError: the runs would start from a model file that was trained on these packs.
    """
    _require_unseen_packs(series)
    with one_writer(series.out):
        train_series(series, resume=resume, force=force, start=start)
        faces, summary = summarize_folds(series)
        with disk_errors(series.out, "free some space and add --resume"):
            write_out_of_fold(series.out / OUT_OF_FOLD, faces, series.packs)
            write_folds_summary(summary)
            drop_aside(series.out, kind_mark=MARK)
    return summary


def summarize_folds(series: Series) -> tuple[OutOfFold, FoldsSummary]:
    """Return the finished folds' predictions, and their summary.

    Raises:
        ArtifactError: a run is missing or unfinished, or the runs together do not predict every face once.
    """
    finished = open_finished(series)
    outputs = [run.read_dev_outputs() for _, run, _ in finished]
    if any(output.pack_numbers is None or output.rows is None for output in outputs):
        raise ArtifactError(
            f"The runs of {series.out} are from an earlier release, which did not record which faces were held "
            "out. Start over with --force"
        )
    logits, labels = [output.logits for output in outputs], [output.labels for output in outputs]
    temperatures = fit_temperatures(logits, labels)
    first = finished[0][1]
    probabilities = np.concatenate(
        [softmax(one, temperature=t) for one, t in zip(logits, temperatures, strict=True)]
    )
    pack_numbers = np.concatenate(
        [output.pack_numbers for output in outputs if output.pack_numbers is not None]
    )
    rows = np.concatenate([output.rows for output in outputs if output.rows is not None])
    order = np.lexsort((rows, pack_numbers))
    faces = OutOfFold(
        first.classes,
        pack_numbers[order],
        rows[order],
        np.repeat(np.arange(len(outputs)), [len(one) for one in labels])[order],
        np.concatenate(labels)[order],
        probabilities[order],
    )
    n_faces = first.pack["n_train"] + first.pack["n_dev"]
    n_different = len(np.unique(np.column_stack([pack_numbers, rows]), axis=0))
    if not n_different == len(rows) == n_faces:
        raise ArtifactError(
            f"The folds of {series.out} must predict each of {n_faces:,} training faces once, got {len(rows):,} "
            f"predictions for {n_different:,} faces. Start over with --force"
        )
    folds = [
        Fold(planned.folder, result["best_epoch"], temperature, result["dev"])
        for (planned, _, result), temperature in zip(finished, temperatures, strict=True)
    ]
    metrics = mean_std_of_metrics([fold.dev for fold in folds])
    select_by = finished[0][2]["select_by"]
    return faces, FoldsSummary(series.out, select_by, len(rows), folds, metrics, score_pooled(faces))


def fit_temperatures(
    logits: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.int64]]
) -> list[float]:
    """Return the temperature of each fold, fitted on the held-out faces of all the others.

    Fitted on its own, it would have seen the labels that its probabilities are evaluated against.

    Args:
        logits: ``(N_k, C)`` of each fold's held-out faces.
        labels: ``(N_k,)`` their classes.
    """

    def others(values: Sequence[Any], fold: int) -> Any:
        return np.concatenate([value for number, value in enumerate(values) if number != fold])

    return [fit_temperature(others(logits, fold), others(labels, fold)) for fold in range(len(logits))]


def score_pooled(faces: OutOfFold) -> dict[str, PooledMetric]:
    """Return each metric over all faces together."""
    confusion = confusion_matrix(
        faces.labels, faces.probabilities.argmax(axis=1), n_classes=len(faces.classes)
    )
    return {
        name: PooledMetric(float(statistic(confusion)), bootstrap_confusion(confusion, statistic))
        for name, statistic in _POOLED.items()
    }


def write_out_of_fold(path: Path, faces: OutOfFold, packs: Sequence[Path]) -> None:
    """Write out_of_fold.csv, a row for each training face, in the order of the packs.

    Columns: ``key,pack,fold,true,predicted``, then ``p_<Class>`` for each class. Numbers have 9 digits, as in
    the report of `evaluate`.
    """
    keys = [Pack.open(pack).split("train").keys for pack in packs]
    classes = faces.classes
    predicted = faces.probabilities.argmax(axis=1)

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(CsvLines(file))
            writer.writerow(["key", "pack", "fold", "true", "predicted", *(f"p_{name}" for name in classes)])
            for face, (pack, row) in enumerate(zip(faces.pack_numbers, faces.rows, strict=True)):
                named = [keys[pack][row], packs[pack], faces.folds[face]]
                classified = [classes[faces.labels[face]], classes[predicted[face]]]
                writer.writerow(
                    [*named, *classified, *(f"{value:.9g}" for value in faces.probabilities[face])]
                )

    write_atomically(path, write)


def write_folds_summary(summary: FoldsSummary) -> None:
    """Write summary.csv, and last summary.json, into the series' folder."""
    rows = [
        {"fold": number, "n": fold.dev["n"], "best_epoch": fold.best_epoch, "temperature": fold.temperature}
        | {name: value for name, value in fold.dev.items() if name != "n"}
        for number, fold in enumerate(summary.folds)
    ]
    write_csv(summary.out / "summary.csv", rows)
    pooled: dict[str, Any] = {"n": summary.n}
    for name, metric in summary.pooled.items():
        pooled |= {name: metric.value, f"{name}_ci95": list(metric.ci95)}
    write_json(
        summary.out / SUMMARY,
        {
            "format_version": FORMAT_VERSION,
            "kind": "folds",
            "select_by": summary.select_by,
            "pooled": pooled,
            "metrics": {name: metric._asdict() for name, metric in summary.metrics.items()},
            "folds": [fold._asdict() for fold in summary.folds],
        },
    )
