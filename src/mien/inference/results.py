"""Results: one `FacePrediction` per face, or a single one for an image or frame without a face or unreadable.

`FacePrediction.to_dict` is the only schema of rows: JSON Lines, the server's responses and Python share it.
"""

import html
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MienError
from mien.faces.crop import transform_points
from mien.faces.images import image_uri, to_rgb
from mien.faces.landmarks import eye_aspect_ratio, mouth_aspect_ratio
from mien.faces.quality import FaceQuality
from mien.inference.image_input import ColorOrder, ImageInput, read_input
from mien.runtime.terminal import on_one_line
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations

OK = "ok"
NO_FACE = "no_face"

BOX_COLUMNS = ("box_x0", "box_y0", "box_x1", "box_y1")
# The columns of a table of predictions that are not numbers, and those of integers.
TEXT_COLUMNS = ("source", "status", "detail", "found_by", "expression", "reason", "label_set")
INTEGER_COLUMNS = ("frame", "face", "track", "second", "n_frames", "n_faces", "n_unsure", "n_unreadable")
QUALITY_COLUMNS = tuple(field.name for field in fields(FaceQuality))
PIXEL_DECIMALS = 2
VALUE_DECIMALS = 6
# What a notebook and a prompt show.
MAX_SHOWN_SIDE = 960
MAX_REPR_FACES = 3
MAX_LABEL_UNITS = 3


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FacePrediction:
    """One row of predictions.

    Attributes:
        source: name of the image or video as given; empty for pixels.
        frame: 0-based frame number; None for an image.
        seconds: time of the frame since the start of the video or camera; None for an image.
        face: 0-based index among the faces of the image, the largest first; None without a face.
        track: number of the person tracked through a video; None for an image.
        status: ``ok``, ``no_face``, or the reason why it cannot be read, such as ``truncated_image``.
        detail: why the source cannot be read, in words; otherwise empty.
        box_xyxy: ``(4,)`` face box in pixels of the upright image.
        score: detector score in [0, 1]; None if the detector has none or did not run.
        found_by: ``detector``; ``whole`` if the image was taken as one face; ``given`` if the box came with the image; None
            without a face.
        expression: the most probable class, or ``unsure``.
        confidence: probability of the most probable class; for a face with a `reason` of quality, at most the share of
            right answers for such faces (the model's `quality_rule`).
        probabilities: by class, in the model's order; they sum to 1 unless limited to the top K classes.
        reason: why the expression is ``unsure``, such as ``too small``; otherwise empty.
        label_set: the classes that the face may have, at the requested coverage; None if none was requested.
        quality: how well the face can be seen, by the names of `mien.faces.quality.FaceQuality`; None without a face.
        landmarks: ``(68, 2)`` in pixels of the upright image; None if the model has no landmarks task.
        valence: in [-1, 1]; None if the model has no valence and arousal task.
        arousal: in [-1, 1]; None like valence.
        action_units: by name, such as ``AU06``: the probability that the unit is present, or its intensity from 0 to 5,
            whichever `ModelInfo.annotations` says; None if the model has no action units.
        change: how much the face differs from a baseline, by measure; None unless `mien.subtract_baseline` sets it.
    """

    source: str
    frame: int | None = None
    seconds: float | None = None
    face: int | None = None
    track: int | None = None
    status: str = OK
    detail: str = ""
    box_xyxy: NDArray[np.float64] | None = None
    score: float | None = None
    found_by: str | None = None
    expression: str | None = None
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    reason: str = ""
    label_set: tuple[str, ...] | None = None
    quality: dict[str, float | None] | None = None
    landmarks: NDArray[np.float64] | None = None
    valence: float | None = None
    arousal: float | None = None
    action_units: dict[str, float] | None = None
    change: dict[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return every field as a plain value for JSON, None where there is none; `action_units` and `change` are left out if None.

        Pixels are rounded to hundredths, other numbers to millionths.
        """
        row: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = np.round(value, PIXEL_DECIMALS).tolist()
            elif isinstance(value, float):
                value = round(value, VALUE_DECIMALS)
            elif isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, dict):
                value = {
                    name: None if number is None else round(number, VALUE_DECIMALS)
                    for name, number in value.items()
                }
            if field.name not in ("action_units", "change") or value is not None:
                row[field.name] = value
        return row

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "FacePrediction":
        """Return the row that `to_dict` wrote."""
        arrays = {
            name: np.asarray(row[name], dtype=np.float64)
            for name in ("box_xyxy", "landmarks")
            if row[name] is not None
        }
        label_set = None if row["label_set"] is None else tuple(row["label_set"])
        return cls(**{**row, **arrays, "label_set": label_set})

    def to_numpy(self) -> dict[str, NDArray[np.float64]]:
        """Return the numeric fields as float64 arrays.

        Returns:
            ``box_xyxy`` ``(4,)``, ``probabilities`` ``(C,)``, ``landmarks`` ``(68, 2)``, ``valence_arousal`` ``(2,)`` and
            ``action_units`` ``(K,)``, those of them that the row has.
        """
        values = {
            "box_xyxy": self.box_xyxy,
            "probabilities": None if self.probabilities is None else [*self.probabilities.values()],
            "landmarks": self.landmarks,
            "valence_arousal": None if self.valence is None else [self.valence, self.arousal],
            "action_units": None if self.action_units is None else [*self.action_units.values()],
        }
        return {
            name: np.asarray(value, dtype=np.float64) for name, value in values.items() if value is not None
        }

    def to_flat_dict(self) -> dict[str, Any]:
        """Return `to_dict` without nesting: ``box_x0`` to ``box_y1``, ``p_<Class>``, a value per action unit, ``change_<measure>``.

        The landmarks are 136 numbers x, y, x, y, ...; with them are `eye_aspect_ratio` and `mouth_aspect_ratio`.
        """
        values = self.to_dict()
        values.update(zip(BOX_COLUMNS, values.pop("box_xyxy") or [None] * 4, strict=True))
        values.update({f"p_{name}": number for name, number in (values.pop("probabilities") or {}).items()})
        change = values.pop("change", {})
        values.update(values.pop("quality") or dict.fromkeys(QUALITY_COLUMNS))
        for name in [name for name, value in values.items() if isinstance(value, dict)]:
            values.update(values.pop(name))
        if values["label_set"] is not None:
            values["label_set"] = ";".join(values["label_set"])
        if values["landmarks"] is not None:
            values["landmarks"] = [coordinate for point in values["landmarks"] for coordinate in point]
        for name in ("eye_aspect_ratio", "mouth_aspect_ratio"):
            ratio: float | None = getattr(self, name)
            values[name] = None if ratio is None else round(ratio, VALUE_DECIMALS)
        return values | {f"change_{name}": number for name, number in change.items()}

    @property
    def eye_aspect_ratio(self) -> float | None:
        """See `mien.faces.landmarks.eye_aspect_ratio`; None without landmarks, or if an eye has no width."""
        return self._ratio(eye_aspect_ratio)

    @property
    def mouth_aspect_ratio(self) -> float | None:
        """See `mien.faces.landmarks.mouth_aspect_ratio`; None without landmarks, or if the mouth has no width."""
        return self._ratio(mouth_aspect_ratio)

    def _ratio(self, measure: Callable[[NDArray[np.float64]], float]) -> float | None:
        # Of the landmarks as they are written, so that a row that is read back has the same.
        ratio = math.nan if self.landmarks is None else measure(self.landmarks.round(PIXEL_DECIMALS))
        return None if math.isnan(ratio) else ratio

    def __repr__(self) -> str:
        return f"FacePrediction({self})"

    def __str__(self) -> str:
        if self.status != OK:
            return self.status if not self.detail else f"{self.status}: {on_one_line(self.detail)}"
        parts = [
            f"{self.expression} {self.confidence or 0:.0%}" + (f" ({self.reason})" if self.reason else "")
        ]
        if self.valence is not None and self.arousal is not None:
            parts.append(f"valence {self.valence:+.2f}, arousal {self.arousal:+.2f}")
        if self.box_xyxy is not None:
            x0, y0, x1, y1 = self.box_xyxy.round().astype(int).tolist()
            parts.append(f"at {x0},{y0} to {x1},{y1}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ImagePrediction:
    """The predictions for one image or one frame of a video.

    Iterating yields the faces; `rows` also has a row for "no face" and "unreadable".

    Attributes:
        source: name of the image or video as given; empty for pixels.
        rows: at least one.
        image_rgb: the upright image ``(H, W, 3)``, if it was requested and could be read.
        size_wh: width and height of the upright image; None if it is unreadable.
        n_more_images: further images in the file, such as the pages of a TIFF or the frames of an animation, which are not
            predicted; `Model.watch` predicts the frames of an animation.
    """

    source: str
    rows: tuple[FacePrediction, ...]
    image_rgb: NDArray[np.uint8] | None = None
    size_wh: tuple[int, int] | None = None
    n_more_images: int = 0

    @property
    def faces(self) -> tuple[FacePrediction, ...]:
        """The faces with a prediction, the largest first."""
        return tuple(row for row in self.rows if row.status == OK)

    def __iter__(self) -> Iterator[FacePrediction]:
        return iter(self.faces)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> FacePrediction:
        try:
            return self.faces[index]
        except IndexError:
            row = self.rows[0]
            why = f" ({row.status}{f': {row.detail}' if row.detail else ''})" if row.status != OK else ""
            raise IndexError(
                f"there is no face {index} in {self.source or 'the image'}: it has {len(self)}{why}; iterate over the prediction, "
                "or check its `len`"
            ) from None

    def __bool__(self) -> bool:
        """Always true, even without a face: `len` would make it false."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the pixels as plain values for JSON."""
        return {
            "source": self.source,
            "size_wh": None if self.size_wh is None else list(self.size_wh),
            "rows": [row.to_dict() for row in self.rows],
            "n_more_images": self.n_more_images,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ImagePrediction":
        """Return the prediction that `to_dict` wrote, such as one of the ``results`` of a server."""
        return cls(
            values["source"],
            tuple(FacePrediction.from_dict(row) for row in values["rows"]),
            size_wh=None if values["size_wh"] is None else tuple(values["size_wh"]),
            n_more_images=values["n_more_images"],
        )

    def to_pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`, see `to_pandas`.

        Raises:
            MienError: pandas is not installed.
        """
        return to_pandas([self])

    def to_arrow(self) -> Any:
        """Return the rows as a `pyarrow.Table`, see `mien.inference.interop.to_arrow`.

        Raises:
            MienError: pyarrow is not installed.
        """
        from mien.inference.interop import to_arrow  # noqa: PLC0415 - it takes predictions

        return to_arrow([self])

    def to_supervision(self) -> Any:
        """Return the faces as `supervision.Detections`, see `mien.inference.interop.to_supervision`.

        Raises:
            MienError: supervision is not installed.
            ValueError: the probabilities are limited to the top K classes, or the image is a cropped face.
        """
        from mien.inference.interop import to_supervision  # noqa: PLC0415 - it takes predictions

        return to_supervision(self)

    def draw(
        self, image: ImageInput | None = None, *, color: ColorOrder = "rgb", blur: bool = False
    ) -> NDArray[np.uint8]:
        """Return a copy of the image with the predictions drawn on it, ``(H, W, 3)`` uint8 RGB.

        Args:
            image: the image, in any form that `Model.predict` takes; None: the pixels that were kept (``keep_images``), or
                the image file that was predicted, read once more.
            color: order of the channels if the image is an array or a tensor.
            blur: make the faces that were found unrecognizable.

        Raises:
            ValueError: the image was neither kept nor given, could not be read, or has another size by now.
        """
        from mien.drawing.annotate import annotate  # noqa: PLC0415 - drawing loads Pillow's fonts, predicting does not

        if self.size_wh is None:
            raise ValueError("the image could not be read, so nothing can be drawn on it")
        image = self.image_rgb if image is None else image
        if image is None and self.rows[0].frame is None and self.source and os.path.isfile(self.source):  # noqa: PTH113
            image = Path(self.source)
        if image is None:
            raise ValueError(
                "the pixels were not kept, so nothing can be drawn on them: predict with `keep_images=True`, or pass the image "
                "to `draw`"
            )
        image_rgb = to_rgb(read_input(image, color=color)[0])
        size_wh = image_rgb.shape[1], image_rgb.shape[0]
        if size_wh != self.size_wh:
            raise ValueError(
                "the image to draw on has {}x{} pixels, the one that was predicted had {}x{}".format(
                    *size_wh, *self.size_wh
                )
            )
        return annotate(image_rgb, self.rows, blur=blur)

    def __repr__(self) -> str:
        found = ", ".join(
            f"{face.expression} {face.confidence or 0:.0%}" for face in self.faces[:MAX_REPR_FACES]
        )
        if len(self) > MAX_REPR_FACES:
            found += f" and {len(self) - MAX_REPR_FACES} more"
        source = f"{on_one_line(self.source)}: " if self.source else ""
        return f"ImagePrediction({source}{found or self.rows[0]})"

    def _repr_html_(self) -> str:
        """Show the rows in a notebook, under the annotated image if its pixels were kept."""
        parts = []
        if self.image_rgb is not None:
            drawn = Image.fromarray(self.draw())
            drawn.thumbnail((MAX_SHOWN_SIDE, MAX_SHOWN_SIDE))
            data = io.BytesIO()
            drawn.save(data, "JPEG")
            parts.append(f'<img alt="annotated image" src="{image_uri(data.getvalue())}">')
        columns = ("face", "expression", "confidence", "valence", "arousal")
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td>{'' if value is None else f'{value:.3g}' if isinstance(value, float) else html.escape(str(value))}</td>"
                for value in (getattr(row, column) for column in columns)
            )
            + "</tr>"
            if row.status == OK
            else f'<tr><td colspan="{len(columns)}">{html.escape(str(row))}</td></tr>'
            for row in self.rows
        )
        header = "".join(f"<th>{column}</th>" for column in columns)
        caption = html.escape(on_one_line(self.source) or "image")
        parts.append(f"<table><caption>{caption}</caption><tr>{header}</tr>{rows}</table>")
        return "".join(parts)

    def __str__(self) -> str:
        lines = [f"{on_one_line(self.source) or 'image'}: {row}" for row in self.rows]
        if self.n_more_images:
            lines.append(f"Only the first of {self.n_more_images + 1:,} images in the file")
        return "\n".join(lines)


def to_pandas(
    predictions: ImagePrediction | Iterable[ImagePrediction], *, by: str | Sequence[str] | None = None
) -> Any:
    """Return the rows of predictions as one `pandas.DataFrame`, with the columns of a prediction file.

    What a row does not have is NaN in columns of numbers, and None in those of text and in `landmarks`. The probabilities are of the
    classes of the faces: without any face, there are no columns ``p_<Class>``.

    Args:
        predictions: such as a list from `Model.predict`, or what `Model.watch` yields; or a single one.
        by: one row per ``file``, ``track`` or ``second`` instead, see `mien.aggregate`.

    Raises:
        MienError: pandas is not installed.
        ValueError: as in `mien.aggregate`.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - optional
    except ModuleNotFoundError:
        raise MienError("`to_pandas` needs pandas: pip install pandas") from None
    rows, columns = flat_rows(predictions, by)
    table = pd.DataFrame(rows, columns=columns or None)
    # A column without a single number is one of numbers all the same: its mean is NaN, not an error.
    numbers = [name for name in columns if name not in TEXT_COLUMNS and name != "landmarks"]
    return table.astype({name: float for name in numbers if table[name].dtype == object})


def as_predictions(predictions: ImagePrediction | Iterable[ImagePrediction]) -> Iterable[ImagePrediction]:
    """Return predictions, of which there may be a single one: iterating over it would give its faces."""
    return [predictions] if isinstance(predictions, ImagePrediction) else predictions


def flat_rows(
    predictions: ImagePrediction | Iterable[ImagePrediction], by: str | Sequence[str] | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of predictions, or their aggregates, without nesting, and the columns of their table."""
    predictions = as_predictions(predictions)
    if by is None:
        rows = [row for prediction in predictions for row in prediction.rows]
        flat = [row.to_flat_dict() for row in rows]
        classes = max((list(row.probabilities or ()) for row in rows), key=len, default=[])
        columns = dict.fromkeys(flat_columns(classes))
    else:
        from mien.inference.aggregation import aggregate  # noqa: PLC0415 - it takes predictions

        flat = list(aggregate(predictions, by))
        # The order is that of the row that has most of them: one without a face has no probabilities.
        longest = sorted(flat, key=len, reverse=True)[:1]
        columns = dict.fromkeys(name for row in longest for name in row)
    columns |= {name: None for row in flat for name in row}
    return flat, list(columns)


def flat_columns(
    classes: Sequence[str],
    annotations: Annotations = NO_ANNOTATIONS,
    measures: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the columns of CSV and Parquet: four for the box, then those of each task, ``p_<Class>`` first.

    Args:
        classes: with a probability.
        annotations: the columns of the model's optional tasks.
        measures: compared with a baseline; their columns are ``change_<measure>``.
    """
    return (
        *("source", "frame", "seconds", "face", "track", "status", "detail", *BOX_COLUMNS, "score"),
        *("found_by", "expression", "confidence", "reason", "label_set", *QUALITY_COLUMNS),
        *(name for task in TASKS.values() for name in task.columns(tuple(classes), annotations)),
        *(f"change_{name}" for name in measures),
    )


def row_without_face(source: str, problem: tuple[str, str] | None = None) -> FacePrediction:
    """Return the row of an image without a face or, given a problem (status, detail), of an unreadable one."""
    if problem is None:
        return FacePrediction(source, status=NO_FACE)
    return FacePrediction(source, status=problem[0], detail=problem[1])


# The functions that `Task.row` names.


def landmark_fields(
    landmarks: NDArray[np.float32], to_image: NDArray[np.float64], _annotations: Annotations
) -> dict[str, Any]:
    """Return the landmarks in pixels of the image."""
    return {"landmarks": transform_points(to_image, landmarks.astype(np.float64))}


def affect_fields(
    values: NDArray[np.float32], _to_image: NDArray[np.float64], _annotations: Annotations
) -> dict[str, Any]:
    """Return valence and arousal."""
    return {"valence": float(values[0]), "arousal": float(values[1])}


def action_unit_fields(
    values: NDArray[np.float32], _to_image: NDArray[np.float64], annotations: Annotations
) -> dict[str, Any]:
    """Return the probability or intensity of each unit by name."""
    return {"action_units": dict(zip(annotations["action_units"].names, values.tolist(), strict=True))}


# The functions that `Task.label` names.


def affect_label(face: FacePrediction) -> list[str]:
    """Return valence and arousal."""
    if face.valence is None or face.arousal is None or not math.isfinite(face.valence + face.arousal):
        return []
    return [f"valence {face.valence:+.2f}", f"arousal {face.arousal:+.2f}"]


def action_unit_label(face: FacePrediction) -> list[str]:
    """Return the strongest units: probabilities from 0.5 on, or intensities that round to 1 or more."""
    shown = {name: value for name, value in (face.action_units or {}).items() if value >= 0.5}
    strongest = sorted(shown, key=lambda name: -shown[name])[:MAX_LABEL_UNITS]
    return [f"{name} {shown[name]:.2g}" for name in strongest]
