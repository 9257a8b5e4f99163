"""The tasks: everything that is predicted of a face. A new one is an entry in `TASKS`.

An entry says what a task's values look like, and names what acts on them as ``module:function``, so that this module imports
nothing heavy and lies below everything that it names. Values travel under their task's name from the raw dataset to the
prediction: the annotations of a `FaceRecord` and of a pack, the targets of a batch, the outputs of the network and of the
model file.
"""

import functools
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.faces.action_units import ActionUnits
from mien.faces.landmarks import N_LANDMARKS

# For each task of `optional_tasks` that is annotated: what its columns are, the result of its `Task.parse_spec`.
Annotations: TypeAlias = Mapping[str, Any]
NO_ANNOTATIONS: Annotations = {}
# The values of N faces by task, ``(N, *shape)`` each.
Values: TypeAlias = dict[str, NDArray[np.float32]]


def _always(*shape: int) -> Callable[[int, Annotations], tuple[int, ...]]:
    return lambda _n_classes, _annotations: shape


class ReportedMetric(NamedTuple):
    """A metric of a task in a report, which `mien compare` compares.

    Attributes:
        name: its name in comparisons.
        title: its name in tables.
        path: its keys in the task's entry of metrics.json; its interval has the last key with ``_ci95``.
        is_percent: it is a fraction, shown in percent.
        lower_is_better: smaller values are better.
        is_detail: tables show it only where there are no metrics of the expression.
        columns: the columns of predictions.csv that it is computed from, face by face; empty if that takes more than columns.
        statistic: ``module:function``, takes ``(N, K)`` values of these columns, and returns the metric or None.
    """

    name: str
    title: str
    path: tuple[str, ...]
    is_percent: bool = True
    lower_is_better: bool = False
    is_detail: bool = False
    columns: tuple[str, ...] = ()
    statistic: str | None = None


def _affect_metrics(key: str, title: str, *, is_detail: bool = False) -> tuple[ReportedMetric, ...]:
    """Return a metric of valence and of arousal."""
    return tuple(
        ReportedMetric(
            f"{key}_{dimension}",
            f"{title} {dimension}",
            (dimension, key),
            is_percent=False,
            lower_is_better=key == "rmse",
            is_detail=is_detail,
            columns=(f"{dimension}_true", f"{dimension}_predicted"),
            statistic=f"mien.metrics.affect:{key}_of_rows",
        )
        for dimension in ("valence", "arousal")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task. Where a field takes annotations, these are the `Annotations` of the pack, run or model.

    Attributes:
        title: its name in sentences.
        shape: takes the number of classes and the annotations; returns the shape of one face's values, None if the
            annotations lack the task.
        limits: takes the annotations; returns the smallest and largest value in the model file's output, None for any.
        missing: the mark of a missing label.
        is_geometric: the values are points as fractions of the crop, which move with its pixels: they are transformed in
            augmentation, lost under pasted rectangles, mirrored with the image, and smoothed as points in a video.
        pack_columns: takes the annotations; returns the columns of a pack that hold the values, and the width of each, None
            for a plain number.
        parse_spec: for a task that only some sets have: validates its entry in pack.json, run.json or a model file, and
            returns it as an object with ``to_dict``, or raises ValueError.
        head: the name of its layer in the network, and in the network's weights.
        build_head: takes the number of features and of outputs, and returns that layer.
        activation: follows the layer, in training and in the model file; None for nothing.
        decode: takes the network's output, the annotations and the temperature, and returns the model file's output; None
            if the two are the same.
        loss: takes prediction and truth, and ``kind`` if there is a `loss_kind`; returns the mean over the labels that are
            not missing.
        loss_kind: takes the recipe's `LossConfig` and the annotations.
        dev_scores: takes truth, the decoded output and the annotations; returns metrics by name, None for undefined ones.
        file_score: the metric of `dev_scores` that the int8 check shows, and its title there; None for none.
        score: takes truth with the model's columns, the model file's output, the model's annotations and those of the pack;
            returns the task's part of a report, see `mien.evaluate.task_scores`, or None if no face is annotated.
        reported: the metrics of that part which comparisons show.
        row: takes one face's values, the affine matrix from fractions of the crop to pixels of the image, and the
            annotations; returns fields of `FacePrediction`.
        label: takes a `FacePrediction`; returns what labels on images say of the task, as short parts; none if the face has no
            values.
        groups: takes the values ``(N, *shape)`` and the annotations; returns which faces belong to each row of a sheet of
            `mien browse`, by the row's title.
        columns: takes the classes and the annotations; returns the columns of prediction files.
    """

    title: str
    shape: Callable[[int, Annotations], tuple[int, ...] | None]
    limits: Callable[[Annotations], tuple[float, float] | None] = lambda _: None
    missing: float = math.nan
    is_geometric: bool = False
    pack_columns: Callable[[Annotations], dict[str, int | None]]
    parse_spec: Callable[[Any], Any] | None = None
    head: str
    build_head: str = "torch.nn:Linear"
    activation: str | None = None
    decode: str | None = None
    loss: str
    loss_kind: Callable[[Any, Annotations], str] | None = None
    dev_scores: str
    file_score: tuple[str, str] | None = None
    score: str | None = None
    reported: tuple[ReportedMetric, ...] = ()
    row: str | None = None
    label: str | None = None
    groups: str | None = None
    columns: Callable[[tuple[str, ...], Annotations], tuple[str, ...]]

    def resolve(self, field: str) -> Callable[..., Any]:
        """Return the function that a field names."""
        return _import_function(getattr(self, field))


@functools.cache
def _import_function(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = pkgutil.resolve_name(name)
    return function


# In the order of the model file's outputs. The expression comes first and is in every model: it also takes class weights,
# a teacher and the class protocols, which `train/objective.py`, `evaluate/score.py` and `DecisionRule` apply.
TASKS: dict[str, Task] = {
    "expression": Task(
        title="expression",
        shape=lambda n_classes, _: (n_classes,),
        limits=lambda _: (0.0, 1.0),
        missing=-1,
        pack_columns=lambda _: {},  # `label` and `distribution`
        head="expression_head",
        decode="mien.nets.decoding:calibrated_probabilities",
        loss="mien.train.losses:expression_loss",
        dev_scores="mien.metrics.classification:dev_scores",
        columns=lambda classes, _: tuple(f"p_{name}" for name in classes),
    ),
    "landmarks": Task(
        title="landmarks",
        shape=_always(N_LANDMARKS, 2),
        is_geometric=True,
        pack_columns=lambda _: {"landmarks": 2 * N_LANDMARKS},
        head="landmark_head",
        build_head="mien.nets.heads:build_landmark_head",
        loss="mien.train.losses:landmark_loss",
        loss_kind=lambda config, _: config.landmarks,
        dev_scores="mien.metrics.landmarks:dev_scores",
        file_score=("nme", "landmark error"),
        score="mien.evaluate.task_scores:score_landmarks",
        reported=(
            ReportedMetric(
                "nme",
                "NME",
                ("nme",),
                lower_is_better=True,
                columns=("nme",),
                statistic="mien.metrics.landmarks:mean_nme",
            ),
        ),
        row="mien.inference.results:landmark_fields",
        columns=lambda _classes, _annotations: ("landmarks", "eye_aspect_ratio", "mouth_aspect_ratio"),
    ),
    "valence_arousal": Task(
        title="valence and arousal",
        shape=_always(2),
        limits=lambda _: (-1.0, 1.0),
        pack_columns=lambda _: {"valence": None, "arousal": None},
        head="affect_head",
        activation="torch:tanh",
        loss="mien.train.losses:affect_loss",
        loss_kind=lambda config, _: config.valence_arousal,
        dev_scores="mien.metrics.affect:dev_scores",
        score="mien.evaluate.task_scores:score_valence_arousal",
        reported=(
            *_affect_metrics("ccc", "CCC"),
            *_affect_metrics("pearson", "correlation", is_detail=True),
            *_affect_metrics("rmse", "RMSE", is_detail=True),
        ),
        row="mien.inference.results:affect_fields",
        label="mien.inference.results:affect_label",
        groups="mien.browse.groups:affect_quadrants",
        columns=lambda _classes, _annotations: ("valence", "arousal"),
    ),
    "action_units": Task(
        title="action units",
        shape=lambda _, annotations: (
            (len(annotations["action_units"].names),) if "action_units" in annotations else None
        ),
        limits=lambda annotations: annotations["action_units"].limits,
        pack_columns=lambda annotations: (
            {"action_units": len(annotations["action_units"].names)} if "action_units" in annotations else {}
        ),
        parse_spec=ActionUnits.from_dict,
        head="action_unit_head",
        decode="mien.nets.decoding:bounded_action_units",
        loss="mien.train.losses:action_unit_loss",
        loss_kind=lambda _, annotations: annotations["action_units"].kind,
        dev_scores="mien.metrics.action_units:dev_scores",
        file_score=("action_units_f1", "action-unit F1"),
        score="mien.evaluate.task_scores:score_action_units",
        reported=(
            ReportedMetric("action_units_f1", "AU macro-F1", ("macro_f1",)),
            ReportedMetric("action_units_icc", "AU ICC(3,1)", ("mean_icc",), is_percent=False),
        ),
        row="mien.inference.results:action_unit_fields",
        label="mien.inference.results:action_unit_label",
        groups="mien.browse.groups:faces_by_unit",
        columns=lambda _, annotations: (
            annotations["action_units"].names if "action_units" in annotations else ()
        ),
    ),
}


def reported_metrics() -> dict[str, tuple[str, ReportedMetric]]:
    """Return the metrics of all tasks that comparisons show, by name, each with the name of its task."""
    return {metric.name: (name, metric) for name, task in TASKS.items() for metric in task.reported}


def optional_tasks() -> dict[str, Task]:
    """Return the tasks that a set has only if it says so in its `Annotations`."""
    return {name: task for name, task in TASKS.items() if task.parse_spec is not None}


def task_shapes(n_classes: int, annotations: Annotations = NO_ANNOTATIONS) -> dict[str, tuple[int, ...]]:
    """Return the shape of one face's values for every task that is possible with these annotations."""
    shapes = {name: task.shape(n_classes, annotations) for name, task in TASKS.items()}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def parse_annotations(value: object) -> Annotations:
    """Return the ``annotations`` of pack.json, run.json or a model file, validated.

    Raises:
        ValueError: a task is unknown, or its entry is invalid.
    """
    tasks = optional_tasks()
    if not isinstance(value, dict) or not set(value) <= set(tasks):
        raise ValueError(
            f"`annotations` must be an object with keys among {', '.join(tasks)}, got {value!r:.80}"
        )
    return {
        name: task.parse_spec(value[name])
        for name, task in tasks.items()
        if task.parse_spec and name in value
    }


def annotations_to_dict(annotations: Annotations) -> dict[str, Any]:
    """Return annotations as plain values for JSON."""
    return {name: spec.to_dict() for name, spec in annotations.items()}


def align_columns(
    task: str, values: NDArray[np.float32], have: Annotations, want: Annotations
) -> NDArray[np.float32]:
    """Return values with the columns of other annotations: those of a pack as a run or model has them.

    Args:
        task: name of the task.
        values: ``(N, *shape)`` with the columns of `have`.
        have: what the columns are.
        want: what they are to be; a column that `have` lacks is missing.
    """
    if task not in optional_tasks():
        return values
    aligned: NDArray[np.float32] = have[task].align(values, want[task])
    return aligned


def merge_annotations(several: Sequence[Annotations]) -> Annotations:
    """Return the columns of packs that are used together.

    Raises:
        ValueError: they annotate a task in ways that do not go together.
    """
    merged: dict[str, Any] = {}
    for annotations in several:
        for task, spec in annotations.items():
            merged[task] = merged[task].merge(spec) if task in merged else spec
    return merged
