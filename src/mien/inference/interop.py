"""Predictions as the tables and objects of other libraries, none of which mien needs otherwise."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mien.errors import MienError
from mien.inference.results import INTEGER_COLUMNS, TEXT_COLUMNS, ImagePrediction, flat_rows


def to_arrow(
    predictions: ImagePrediction | Iterable[ImagePrediction], *, by: str | Sequence[str] | None = None
) -> Any:
    """Return the rows of predictions as one `pyarrow.Table`, with the columns of a prediction file.

    Texts are strings, `frame`, `face`, `track` and counts integers, `landmarks` a list of 136 numbers, everything else floats; what
    a row does not have is null. Without any face, there are no columns ``p_<Class>``; `pyarrow.concat_tables` then needs
    ``promote_options="default"``.

    Args:
        predictions: such as a list from `Model.predict`, or what `Model.watch` yields; or a single one.
        by: one row per ``file``, ``track`` or ``second`` instead, see `mien.aggregate`.

    Raises:
        MienError: pyarrow is not installed.
        ValueError: as in `mien.aggregate`.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional
    except ModuleNotFoundError:
        raise MienError("`to_arrow` needs pyarrow: pip install 'mien[data]'") from None
    rows, columns = flat_rows(predictions, by)
    return pa.Table.from_pylist([with_valid_source(row) for row in rows], schema=arrow_schema(columns))


def arrow_schema(columns: Iterable[str]) -> Any:
    """Return the `pyarrow.Schema` of a table of predictions with these columns."""
    import pyarrow as pa  # noqa: PLC0415 - optional

    types = dict.fromkeys(TEXT_COLUMNS, pa.string()) | dict.fromkeys(INTEGER_COLUMNS, pa.int64())
    types["landmarks"] = pa.list_(pa.float32())
    return pa.schema([(name, types.get(name, pa.float64())) for name in columns])


def with_valid_source(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row for Arrow, see `valid_unicode`."""
    return row | {"source": valid_unicode(row["source"])}


def valid_unicode(name: str) -> str:
    """Return the name of a file, with Python's escapes for what is not valid Unicode."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def to_supervision(prediction: ImagePrediction) -> Any:
    """Return the faces of an image as `supervision.Detections`, for its annotators, trackers and zones.

    `class_id` is the index of the expression among the model's classes, -1 for ``unsure``; `confidence` is that of the
    expression; `tracker_id` is the track in a video. `data` has ``class_name`` and ``score`` of every face and, as far as the model
    predicts them, ``probabilities`` ``(N, C)``, ``landmarks`` ``(N, 68, 2)``, ``valence`` and ``arousal`` ``(N,)``.

    Raises:
        MienError: supervision is not installed.
        ValueError: the probabilities are limited to the top K classes, which leaves the index of a class unknown; or a face
            has no box, because the image is a cropped face.
    """
    try:
        import supervision  # noqa: PLC0415 - optional
    except ModuleNotFoundError:
        raise MienError("`to_supervision` needs supervision: pip install supervision") from None
    faces = prediction.faces
    if not faces:
        return supervision.Detections.empty()
    classes = [list(face.probabilities or {}) for face in faces]
    if (
        any(names != classes[0] for names in classes)
        or abs(sum((faces[0].probabilities or {}).values()) - 1) > 1e-3
    ):
        raise ValueError("class indices need the probabilities of all classes: load the model without `top`")
    if any(face.box_xyxy is None for face in faces):
        raise ValueError(
            "`Detections` needs a box of each face, and a cropped face has none: predict the whole image"
        )
    data: dict[str, Any] = {
        "class_name": np.array([face.expression for face in faces]),
        "score": np.array([np.nan if face.score is None else face.score for face in faces]),
        "probabilities": np.array([[*(face.probabilities or {}).values()] for face in faces]),
    }
    for name in ("landmarks", "valence", "arousal"):
        values = [getattr(face, name) for face in faces]
        if values[0] is not None:
            data[name] = np.array(values)
    tracks = [face.track for face in faces]
    return supervision.Detections(
        xyxy=np.array([face.box_xyxy for face in faces], dtype=np.float32),
        confidence=np.array([face.confidence for face in faces], dtype=np.float32),
        class_id=np.array(
            [classes[0].index(face.expression) if face.expression in classes[0] else -1 for face in faces]
        ),
        tracker_id=None if None in tracks else np.array(tracks),
        data=data,
    )
