"""A person's own neutral face as the baseline: by how much each prediction differs from it.

Faces differ at rest, and so do a model's predictions for them. Changes within a person leave that difference out.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mien.formats.onnx_model import ModelInfo
from mien.inference.results import FacePrediction, ImagePrediction, as_predictions

_log = logging.getLogger(__name__)


def baseline_measures(row: FacePrediction) -> dict[str, float]:
    """Return what is compared with a baseline: ``p_<Class>``, valence, arousal, aspect ratios, action units."""
    values: dict[str, float | None] = {
        f"p_{name}": value for name, value in (row.probabilities or {}).items()
    }
    for name in ("valence", "arousal", "eye_aspect_ratio", "mouth_aspect_ratio"):
        values[name] = getattr(row, name)
    values.update(row.action_units or {})
    return {name: value for name, value in values.items() if value is not None}


def measure_names(classes: Sequence[str], info: ModelInfo) -> list[str]:
    """Return the names of `baseline_measures` for a model, in order.

    Args:
        classes: the expressions that can be predicted.
        info: the model's metadata.
    """
    names = [f"p_{name}" for name in classes]
    if "valence_arousal" in info.tasks:
        names += ["valence", "arousal"]
    if "landmarks" in info.tasks:
        names += ["eye_aspect_ratio", "mouth_aspect_ratio"]
    return names + ([*info.annotations["action_units"].names] if "action_units" in info.tasks else [])


@dataclass(slots=True)
class _Mean:
    """A mean that grows."""

    first_s: float = 0.0
    n: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        if self.n and values.keys() != self.sums.keys():
            raise ValueError(
                "the faces of a baseline must have the same measures: predict all classes, without `top`"
            )
        self.n += 1
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in values.items()}

    def values(self) -> dict[str, float]:
        return {name: total / self.n for name, total in self.sums.items()}


def measure_baseline(predictions: ImagePrediction | Iterable[ImagePrediction]) -> dict[str, float]:
    """Return the mean measures of the largest face of each image or frame, as those of a neutral face.

    Args:
        predictions: of images or of a video of one person.

    Raises:
        ValueError: there is no face, or the probabilities of some classes are left out.
    """
    mean = _Mean()
    for prediction in as_predictions(predictions):
        if prediction.faces:
            mean.add(baseline_measures(prediction[0]))
    if not mean.n:
        raise ValueError("the baseline has no face: give images or a video of the person's neutral face")
    return mean.values()


def subtract_baseline(
    predictions: ImagePrediction | Iterable[ImagePrediction],
    *,
    seconds: float | None = None,
    neutral: Mapping[str, float] | None = None,
) -> Iterator[ImagePrediction]:
    """Yield predictions whose faces have `FacePrediction.change`: their measures minus those of the baseline.

    Args:
        predictions: such as what `Model.watch` yields.
        seconds: the baseline is the mean over the first seconds of each track, in which the person should look neutral; these
            rows have no change.
        neutral: the baseline of everyone, from `measure_baseline`; one of the two is required.

    Raises:
        ValueError: neither or both are given, a track is required but there is none, or some classes are left out.

    Example:
        >>> import mien
        >>> model = mien.load()
        >>> for prediction in mien.subtract_baseline(model.watch("talk.mp4"), seconds=2):
        ...     for face in prediction:
        ...         print(face.seconds, face.change)
    """
    if (seconds is None) == (neutral is None):
        raise ValueError("give either `seconds` or `neutral`")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ValueError(f"`seconds` must be more than 0, got {seconds!r}")
    return _subtract(predictions, seconds, neutral)


def _subtract(
    predictions: ImagePrediction | Iterable[ImagePrediction],
    seconds: float | None,
    neutral: Mapping[str, float] | None,
) -> Iterator[ImagePrediction]:
    by_track: dict[int, _Mean] = {}
    n_faces = n_changes = 0
    for prediction in as_predictions(predictions):
        rows = []
        for row in prediction.rows:
            change: dict[str, float] | None = None
            values = baseline_measures(row)
            baseline = neutral
            if values and seconds is not None:
                if row.track is None or row.seconds is None:
                    raise ValueError("a baseline of some seconds needs a video: give `neutral` for images")
                mean = by_track.setdefault(row.track, _Mean(row.seconds))
                if row.seconds < mean.first_s + seconds:
                    mean.add(values)
                else:
                    baseline = mean.values()
            if values and baseline is not None:
                missing = [name for name in baseline if name.startswith("p_") and name not in values]
                if missing:
                    raise ValueError(
                        f"a face lacks {missing[0]}, which the baseline has: predict without `top`"
                    )
                change = {name: values[name] - baseline[name] for name in values if name in baseline}
            n_faces += bool(values)
            n_changes += change is not None
            rows.append(replace(row, change=change))
        yield replace(prediction, rows=tuple(rows))
    if n_faces and not n_changes:
        _log.warning(
            "No face has a change: each of the %d tracks ends within its first %g s, which are its baseline. Take fewer seconds, "
            "or images of the neutral face",
            len(by_track),
            seconds,
        )
