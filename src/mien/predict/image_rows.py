"""Images to rows and annotated copies, and the counts of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from mien.drawing.annotate import annotate
from mien.faces.detector import Detector
from mien.faces.images import MAX_PIXELS
from mien.formats.onnx_model import OnnxModel
from mien.inference.baseline import subtract_baseline
from mien.inference.decision_rule import DecisionRule
from mien.inference.given_faces import GivenFaces
from mien.inference.pipeline import predict_cropped, predict_files, preprocess_url
from mien.inference.results import NO_FACE, OK, ImagePrediction
from mien.predict.annotated_output import write_annotated_image
from mien.predict.prediction_files import RowWriter
from mien.runtime.terminal import on_one_line

# The kind of the images of a file that are not read.
MORE_IMAGES = "further images of files with several"


@dataclass(slots=True)
class PredictSummary:
    """Counts of a run.

    Attributes:
        n_images: all images, including unreadable ones.
        n_videos: all videos and cameras, including unreadable ones.
        n_frames: frames of videos.
        n_faces: rows with a prediction.
        n_without_face: images and frames without a face.
        n_unreadable: unreadable images and parts of videos.
        min_face_px: smaller faces were left out; 0 for none. How many there were is not known: the larger it is, the more
            coarsely the detector searches.
        passed_over: what the folders hold besides images and videos, and the files besides their first image, by kind.
    """

    n_images: int = 0
    n_videos: int = 0
    n_frames: int = 0
    n_faces: int = 0
    n_without_face: int = 0
    n_unreadable: int = 0
    min_face_px: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)

    def add(self, prediction: ImagePrediction, *, is_frame: bool = False) -> None:
        """Count an image or frame."""
        status = prediction.rows[0].status
        self.n_images += not is_frame
        self.n_frames += is_frame and status in (OK, NO_FACE)
        self.n_faces += sum(row.status == OK for row in prediction.rows)
        self.n_without_face += status == NO_FACE
        self.n_unreadable += status not in (OK, NO_FACE)
        if prediction.n_more_images:
            self.passed_over[MORE_IMAGES] += prediction.n_more_images

    def add_counts(self, other: "PredictSummary") -> None:
        """Add the counts of a part of the run."""
        for entry in fields(self):
            if entry.name == "min_face_px":
                continue
            setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))

    def __str__(self) -> str:
        where = []
        if self.n_images or not self.n_videos:
            where.append(_counted(self.n_images, "image"))
        if self.n_videos:
            where.append(f"{_counted(self.n_frames, 'frame')} of {_counted(self.n_videos, 'video')}")
        size, such = f" of at least {self.min_face_px:,} px", " of that size"
        if not self.min_face_px:
            size = such = ""
        parts = [f"{_counted(self.n_faces, 'face')}{size} in {' and '.join(where)}"]
        if self.n_without_face:
            parts.append(f"{self.n_without_face:,} with no face{such}")
        if self.n_unreadable:
            parts.append(f"{self.n_unreadable:,} unreadable")
        kinds = [f"{n:,} {on_one_line(kind)}" for kind, n in self.passed_over.most_common() if n]
        return ", ".join(parts) + (f". Not read: {', '.join(kinds)}" if kinds else "")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class FacePredictor:
    """What turns images into predictions.

    Attributes:
        model: the ONNX model.
        detector: finds the faces; None if every image already is one cropped face.
        rule: how probabilities become an expression.
        blur: make the faces in annotated copies unrecognizable.
        max_pixels: larger images cannot be read.
        given: the faces of each image by name, see `predict_files`; None to detect them.
        neutral: the measures of a neutral face, which are subtracted, see `mien.inference.baseline`; None for none.
    """

    model: OnnxModel
    detector: Detector | None
    rule: DecisionRule
    blur: bool = False
    neutral: dict[str, float] | None = None
    max_pixels: int = MAX_PIXELS
    given: Mapping[str, GivenFaces] | None = None

    def write_images(
        self, paths: Sequence[Path], writer: RowWriter, copies: Mapping[str, Path]
    ) -> Iterator[ImagePrediction]:
        """Yield the predictions for image files, once their rows and annotated copies are written.

        Args:
            paths: image files.
            writer: receives the rows.
            copies: paths of annotated copies, by name of the image; empty for none.
        """
        predictions: Iterable[ImagePrediction] = predict_files(
            paths,
            self.model,
            detector=self.detector,
            rule=self.rule,
            keep_images=bool(copies),
            max_pixels=self.max_pixels,
            given=self.given,
        )
        yield from self._write(predictions, writer, copies)

    def write_image_at_url(
        self, name: str, url: str, writer: RowWriter, copies: Mapping[str, Path]
    ) -> Iterator[ImagePrediction]:
        """Download an image, and yield its prediction in the same way.

        Args:
            name: what is written of the URL.
            url: where it is.
            writer: receives the rows.
            copies: see `write_images`.
        """
        image = preprocess_url(
            name,
            url,
            self.model.info,
            detector=self.detector,
            keep_image=bool(copies),
            max_pixels=self.max_pixels,
        )
        yield from self._write(predict_cropped([image], self.model, self.rule), writer, copies)

    def _write(
        self, predictions: Iterable[ImagePrediction], writer: RowWriter, copies: Mapping[str, Path]
    ) -> Iterator[ImagePrediction]:
        if self.neutral is not None:
            predictions = subtract_baseline(predictions, neutral=self.neutral)
        for prediction in predictions:
            for row in prediction.rows:
                writer.write(row, prediction.size_wh)
            if copies and prediction.image_rgb is not None:
                drawing_rgb = annotate(prediction.image_rgb, prediction.rows, blur=self.blur)
                write_annotated_image(copies[prediction.source], drawing_rgb)
            yield prediction
