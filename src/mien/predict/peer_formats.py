"""Prediction files in the layouts of other programs, whose readers and scripts researchers already have.

What a layout has no place for is left out: a row for what cannot be read becomes a warning.
"""

import csv
import json
import logging
from collections.abc import Sequence
from typing import Any, TextIO

import numpy as np

from mien.faces.action_units import MAX_INTENSITY, ActionUnits, is_present
from mien.faces.landmarks import N_LANDMARKS
from mien.inference.results import NO_FACE, OK, FacePrediction
from mien.predict.prediction_files import SizeWh
from mien.runtime.csv_text import CsvLines
from mien.tasks import NO_ANNOTATIONS, Annotations

_log = logging.getLogger(__name__)

_POINT_COLUMNS = tuple(f"{axis}_{index}" for axis in "xy" for index in range(N_LANDMARKS))


def _points(row: FacePrediction) -> dict[str, float]:
    """Return the landmarks as ``x_0`` to ``x_67`` and ``y_0`` to ``y_67``."""
    if row.landmarks is None:
        return {}
    return dict(zip(_POINT_COLUMNS, np.round(row.landmarks.T, 2).ravel().tolist(), strict=True))


def _warn_of_unreadable(row: FacePrediction) -> None:
    _log.warning("%s is not in the file, which has no place for it: %s", row.source, row)


class OpenFaceWriter:
    """The CSV of OpenFace 2 [0], with ``face_id``: frames are counted from 1, and one without a face has ``success`` 0.

    Gaze, pose and 3D landmarks, which mien does not predict, are left out, as OpenFace does with what was not requested. At
    the end are columns of mien's own.

    References:
        [0] https://github.com/TadasBaltrusaitis/OpenFace/wiki/Output-Format
    """

    n_header_lines = 1

    def __init__(
        self, stream: TextIO, classes: Sequence[str], annotations: Annotations = NO_ANNOTATIONS
    ) -> None:
        self._units: ActionUnits | None = annotations.get("action_units")
        names = () if self._units is None else self._units.names
        intensities = [f"{name}_r" for name in names if self._units and self._units.kind == "intensity"]
        self._columns = (
            *("frame", "face_id", "timestamp", "confidence", "success"),
            *_POINT_COLUMNS,
            *intensities,
            *(f"{name}_c" for name in names),
            *("source", "expression", "valence", "arousal"),
            *(f"p_{name}" for name in classes),
        )
        self._csv = csv.DictWriter(CsvLines(stream), self._columns, restval=0, extrasaction="ignore")
        self._csv.writeheader()
        self._n_images = 0
        self._scores: dict[int | None, float] = {}

    def write(self, row: FacePrediction, _size_wh: SizeWh = None, /) -> None:
        """Write one row; images are numbered like the frames of a folder."""
        self._n_images += row.frame is None and not row.face
        if row.status not in (OK, NO_FACE, "damaged_frame"):
            _warn_of_unreadable(row)
            return
        number = self._n_images if row.frame is None else row.frame + 1
        values: dict[str, Any] = {
            "frame": number,
            "timestamp": round(row.seconds or 0.0, 3),
            "source": row.source,
        }
        if row.status == OK:
            person = row.face if row.track is None else row.track
            # A tracked face keeps the score of the detection that it was tracked from.
            score = (
                self._scores.get(person, 1.0) if row.score is None and row.track is not None else row.score
            )
            self._scores[person] = 1.0 if score is None else score
            values |= {"face_id": person, "confidence": round(self._scores[person], 2), "success": 1}
            values |= _points(row) | self._action_units(row)
            values |= {name: value for name, value in row.to_flat_dict().items() if name[:2] == "p_"}
            values |= {name: getattr(row, name) for name in ("expression", "valence", "arousal")}
        self._csv.writerow(values)

    def _action_units(self, row: FacePrediction) -> dict[str, float]:
        if self._units is None or row.action_units is None:
            return {}
        present = is_present(np.array([*row.action_units.values()]), self._units.kind)
        values = {f"{name}_r": round(value, 2) for name, value in row.action_units.items()}
        return values | {
            f"{name}_c": int(is_shown) for name, is_shown in zip(row.action_units, present, strict=True)
        }


# py-feat's names of emotions; those that it lacks, such as contempt, follow under their own.
_FEAT_EMOTIONS = {
    "anger": "Anger",
    "disgust": "Disgust",
    "fear": "Fear",
    "happiness": "Happy",
    "sadness": "Sad",
    "surprise": "Surprise",
    "neutral": "Neutral",
}


class PyFeatWriter:
    """The CSV of py-feat's first detector [0], which its ``read_feat`` loads.

    Pose is empty. Valence and arousal have names of mien's own, because py-feat takes a file with its names for one of its
    second detector, which has other emotions and landmarks.

    References:
        [0] https://py-feat.org
    """

    n_header_lines = 1

    def __init__(
        self, stream: TextIO, classes: Sequence[str], annotations: Annotations = NO_ANNOTATIONS
    ) -> None:
        units: ActionUnits | None = annotations.get("action_units")
        self._unit_scale = 1 / MAX_INTENSITY if units is not None and units.kind == "intensity" else 1.0
        self._names = {name: emotion for emotion, name in _FEAT_EMOTIONS.items()}
        self._columns = (
            *("frame", "FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore"),
            *_POINT_COLUMNS,
            *("Pitch", "Roll", "Yaw", "X", "Y", "Z"),
            *(() if units is None else units.names),
            *_FEAT_EMOTIONS,
            *(name.lower() for name in classes if name not in self._names),
            *("Identity", "input", "FrameHeight", "FrameWidth", "approx_time"),
            *("mien_expression", "mien_valence", "mien_arousal"),
        )
        self._csv = csv.DictWriter(CsvLines(stream), self._columns, extrasaction="ignore")
        self._csv.writeheader()

    def write(self, row: FacePrediction, size_wh: SizeWh = None, /) -> None:
        """Write one row; one without a face is empty but for frame and input, as py-feat writes it."""
        if row.status not in (OK, NO_FACE, "damaged_frame"):
            _warn_of_unreadable(row)
            return
        values: dict[str, Any] = {"frame": row.frame or 0, "input": row.source}
        if size_wh is not None:
            values |= {"FrameWidth": size_wh[0], "FrameHeight": size_wh[1]}
        if row.seconds is not None:
            minutes, seconds = divmod(int(row.seconds), 60)
            values["approx_time"] = f"{minutes:02d}:{seconds:02d}"
        if row.box_xyxy is not None:
            x0, y0, x1, y1 = np.round(row.box_xyxy, 2).tolist()
            values |= {"FaceRectX": x0, "FaceRectY": y0}
            values |= {"FaceRectWidth": round(x1 - x0, 2), "FaceRectHeight": round(y1 - y0, 2)}
            values |= {
                "FaceScore": row.score,
                "Identity": f"Person_{row.face if row.track is None else row.track}",
            }
            values |= _points(row)
            values |= {name: value * self._unit_scale for name, value in (row.action_units or {}).items()}
            values |= {
                self._names.get(name, name.lower()): probability
                for name, probability in (row.probabilities or {}).items()
            }
            values |= {f"mien_{name}": getattr(row, name) for name in ("expression", "valence", "arousal")}
        self._csv.writerow(values)


class LabelStudioWriter:
    """A JSON list of Label Studio's tasks, one per image, whose predictions are rectangles with expressions as labels [0].

    They go with the tags ``<Image name="image" value="$image"/>`` and ``<RectangleLabels name="label" toName="image">``.

    References:
        [0] https://labelstud.io/guide/predictions
    """

    n_header_lines = 1

    def __init__(
        self, stream: TextIO, _classes: Sequence[str] = (), _annotations: Annotations = NO_ANNOTATIONS
    ) -> None:
        self._stream = stream
        self._stream.write("[\n")
        self._task: dict[str, Any] | None = None
        self._n_tasks = 0

    def write(self, row: FacePrediction, size_wh: SizeWh = None, /) -> None:
        """Write one row; an image is written when the next one begins."""
        if row.frame is not None or row.status not in (OK, NO_FACE):
            _warn_of_unreadable(row)
            return
        if not row.face:
            self._write_task()
            prediction: dict[str, Any] = {"model_version": "mien", "result": []}
            self._task = {"data": {"image": row.source}, "predictions": [prediction]}
        if self._task is None or row.box_xyxy is None or size_wh is None:
            return
        size = np.array(size_wh * 2)
        x0, y0, x1, y1 = np.clip(100 * row.box_xyxy / size, 0, 100).round(4).tolist()
        self._task["predictions"][0]["result"].append(
            {
                "id": f"face-{row.face}",
                "type": "rectanglelabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": size_wh[0],
                "original_height": size_wh[1],
                "image_rotation": 0,
                "score": round(row.confidence or 0.0, 6),
                "value": {
                    "x": x0,
                    "y": y0,
                    "width": round(x1 - x0, 4),
                    "height": round(y1 - y0, 4),
                    "rotation": 0,
                    "rectanglelabels": [row.expression],
                },
            }
        )

    def _write_task(self) -> None:
        if self._task is not None:
            comma = ",\n" if self._n_tasks else ""
            self._stream.write(comma + json.dumps(self._task, ensure_ascii=False, allow_nan=False))
            self._n_tasks += 1
        self._task = None

    def close(self) -> None:
        """Write the last image and the end of the list."""
        self._write_task()
        self._stream.write("\n]\n")
