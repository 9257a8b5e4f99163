"""Images to rows and annotated copies, and the counts of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from mien.drawing.annotate import annotate
from mien.faces.detector import Detector
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.pipeline import predict_files
from mien.inference.results import NO_FACE, OK, ImagePrediction
from mien.predict.annotated_output import write_annotated_image
from mien.predict.prediction_files import RowWriter


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
    """

    n_images: int = 0
    n_videos: int = 0
    n_frames: int = 0
    n_faces: int = 0
    n_without_face: int = 0
    n_unreadable: int = 0

    def add(self, prediction: ImagePrediction, *, is_frame: bool = False) -> None:
        """Count an image or frame."""
        status = prediction.rows[0].status
        self.n_images += not is_frame
        self.n_frames += is_frame and status in (OK, NO_FACE)
        self.n_faces += sum(row.status == OK for row in prediction.rows)
        self.n_without_face += status == NO_FACE
        self.n_unreadable += status not in (OK, NO_FACE)

    def add_counts(self, other: "PredictSummary") -> None:
        """Add the counts of a part of the run."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def __str__(self) -> str:
        where = []
        if self.n_images or not self.n_videos:
            where.append(_counted(self.n_images, "image"))
        if self.n_videos:
            where.append(f"{_counted(self.n_frames, 'frame')} of {_counted(self.n_videos, 'video')}")
        parts = [f"{_counted(self.n_faces, 'face')} in {' and '.join(where)}"]
        if self.n_without_face:
            parts.append(f"{self.n_without_face:,} with no face")
        if self.n_unreadable:
            parts.append(f"{self.n_unreadable:,} unreadable")
        return ", ".join(parts)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class FacePredictor:
    """What turns images into predictions.

    Attributes:
        model: the ONNX model.
        detector: finds the faces; None if every image already is one cropped face.
        rule: how probabilities become an expression.
    """

    model: OnnxModel
    detector: Detector | None
    rule: DecisionRule

    def write_images(
        self, paths: Sequence[Path], writer: RowWriter, copies: Mapping[str, Path]
    ) -> Iterator[ImagePrediction]:
        """Yield the predictions for image files, once their rows and annotated copies are written.

        Args:
            paths: image files.
            writer: receives the rows.
            copies: paths of annotated copies, by name of the image; empty for none.
        """
        predictions = predict_files(
            paths, self.model, detector=self.detector, rule=self.rule, keep_images=bool(copies)
        )
        for prediction in predictions:
            for row in prediction.rows:
                writer.write(row)
            if copies and prediction.image_rgb is not None:
                drawing_rgb = annotate(prediction.image_rgb, prediction.rows)
                write_annotated_image(copies[prediction.source], drawing_rgb)
            yield prediction
