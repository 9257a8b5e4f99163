"""The stage: read the photographs of a folder or list, crop their faces as the model takes them, teach, and save."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.artifacts import claim_output, file_sha256, require_suffix
from mien.assets.bundled_models import find_model
from mien.datasets.base import REMEDIES, FaceDataset, FaceRecord, RejectedRow
from mien.datasets.registry import DRAWN, DatasetOptions, open_dataset
from mien.errors import DatasetError
from mien.faces.boxes import intersection_xyxy
from mien.faces.detector import DetectedFace, Detector, load_detector
from mien.faces.detector_file import require_detection
from mien.faces.image_files import read_image_file
from mien.faces.images import UnreadableImage, decode_image, to_rgb
from mien.faces.landmarks import box_of_points, five_from_landmarks
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.formats.pack.schema import NO_LABEL
from mien.inference.pipeline import CroppedFace, crop_face
from mien.inference.teaching.lesson import Shots, teach
from mien.inference.teaching.saving import save_model
from mien.runtime.addresses import local_path
from mien.runtime.progress import Progress
from mien.runtime.terminal import on_one_line
from mien.runtime.text_table import format_table
from mien.teach.options import TeachOptions

N_SHOWN = 5


@dataclass(frozen=True, slots=True)
class TeachSummary:
    """The result of `run_teach`. Its text is what the command prints.

    Attributes:
        out: the model file.
        info: its metadata.
        notes: sentences on what was read, and what was left out.
    """

    out: Path
    info: ModelInfo
    notes: tuple[str, ...]

    def __str__(self) -> str:
        taught = self.info.training["taught"]
        found = taught["cross_validation"]
        rows = [("class", "faces", "groups", "recall")]
        rows += [
            (name, f"{one['n']}", f"{one['groups']}", f"{one['recall']:.0%}")
            for name, one in found["classes"].items()
        ]
        scores = []
        for key in ("balanced_accuracy", "accuracy"):
            low, high = found[f"{key}_ci95"]
            scores.append(
                f"{key.replace('_', ' ')} {100 * found[key]:.1f}% [{100 * low:.1f}, {100 * high:.1f}], always the most "
                f"common class {100 * found[f'majority_{key}']:.1f}%"
            )
        lines = [
            *map(on_one_line, self.notes),
            *format_table(rows),
            "",
            f"cross-validated on the {found['n']} faces in {taught['folds']} folds, near-duplicates and persons kept together:",
            *scores,
            f"classes: {', '.join(self.info.classes)}",
            f"sha256 {file_sha256(self.out)}",
            f"model: {self.out}",
        ]
        return "\n".join(lines)


def run_teach(
    source: str | Path,
    out: str | Path,
    model: str | Path | None = None,
    options: TeachOptions = TeachOptions(),
) -> TeachSummary:
    """Write a model file whose classes are those of a folder or list of photographs.

    Args:
        source: a folder of a folder for each class, or a list of paths and labels.
        out: the file.
        model: the name of a bundled model, a file, or None for the default.
        options: see `TeachOptions`.

    Raises:
        DatasetError: the photographs cannot be read as such, or are too few.
        ModelError: cross-validation gives no evidence that the classes can be told apart.
        ArtifactError: ``out`` exists, or the model cannot be used.
    """
    source, out = Path(source), local_path(out)
    require_detection(options.detector_path, options.crop)
    require_suffix(out, [".onnx"], option="--out")
    for path in (out, out.with_suffix(".md")):
        claim_output(path, force=options.force)
    if (source / "pack.json").is_file():
        raise DatasetError(
            f"{source} is a pack, teaching reads the photographs themselves. Give the folder or list that it was prepared "
            "from, or train on it with `mien train`"
        )
    given = DatasetOptions(
        label_names=options.label_names,
        columns=options.columns,
        images=options.images,
        val_fraction=0.0,
        split=DRAWN,
    )
    dataset = open_dataset("folder" if source.is_dir() else "csv", source, given)
    base = OnnxModel.load(find_model(model))
    detector = None if options.crop == "whole" else load_detector(options.detector_path)
    shots, notes = read_shots(dataset, base.info, detector)
    merge: dict[str, tuple[str, ...]] = {}
    for into, names in options.merge:
        merge[into] = merge.get(into, ()) + names
    taught = teach(base, shots, keep_classes=options.keep_classes, merge=merge)
    save_model(taught, out, language=options.language, force=options.force)
    return TeachSummary(out, taught.info, (*dataset.notes, *notes))


def read_shots(
    dataset: FaceDataset, info: ModelInfo, detector: Detector | None
) -> tuple[Shots, tuple[str, ...]]:
    """Return the labeled faces of a dataset's train split, and sentences on what was left out.

    Args:
        dataset: the dataset.
        info: crop contract and input size of the model.
        detector: finds faces without a box or landmarks; None: every image is one cropped face.

    Raises:
        DatasetError: no face can be used.
    """
    crops, labels, persons = [], [], []
    rejects: Counter[str] = Counter()
    shown: list[str] = []
    rows = list(dataset.rows())
    left_out = Counter(row.split for row in rows if row.split != "train")
    with Progress("Reading faces", total=len(rows), unit="row") as progress:
        for row in rows:
            progress.advance()
            if row.split != "train":
                continue
            try:
                record = dataset.parse(row)
                face = crop_record(record, info, detector)
            except (RejectedRow, UnreadableImage) as problem:
                rejects[problem.reason] += 1
                shown.append(f"{row.key} ({problem.reason}: {problem.detail})")
                continue
            crops.append(face.crop)
            labels.append(dataset.classes[record.label])
            persons.append(record.person)
    notes = [f"{n:,} rows of {split} are left out: only train is taught." for split, n in left_out.items()]
    for reason, n in rejects.most_common():
        notes.append(f"{n:,} of {len(rows):,} rows are left out, {reason}: {REMEDIES.get(reason, '')}.")
    if shown:
        notes.append(f"The first left out: {'; '.join(shown[:N_SHOWN])}.")
    if not crops:
        raise DatasetError(f"No face can be used. {' '.join(notes)}")
    return Shots(np.stack(crops), tuple(labels), tuple(persons)), tuple(notes)


def crop_record(record: FaceRecord, info: ModelInfo, detector: Detector | None) -> CroppedFace:
    """Return the face of a record, cropped as `mien predict` crops it; a box or landmarks take the detector's place.

    Raises:
        UnreadableImage: the image cannot be read.
        RejectedRow: it has no face, or no label.
    """
    if record.label == NO_LABEL:
        raise RejectedRow("unknown_label", "it has no label")
    image = record.image
    if isinstance(image, Path):
        image = read_image_file(image)
    image_rgb = to_rgb(decode_image(image) if isinstance(image, bytes) else image)
    size_wh = np.array(image_rgb.shape[1::-1], dtype=np.float64)
    if detector is None:
        return crop_face(image_rgb, None, info)
    points = None
    if record.landmarks is not None:
        points = five_from_landmarks(record.landmarks)
    elif record.anchors is not None:
        # The nose is between the eyes and the mouth; no crop needs it.
        points = np.insert(record.anchors, 2, record.anchors.mean(axis=0), axis=0)
    if record.box_xyxy is not None:
        box = record.box_xyxy * (np.tile(size_wh, 2) if record.is_relative_box else 1)
    elif points is not None:
        box = box_of_points(points if record.landmarks is None else record.landmarks)
    else:
        faces = detector.find_faces(image_rgb)
        if not faces:
            raise RejectedRow(
                "no_face", f"the detector finds no face in {size_wh[0]:g}x{size_wh[1]:g} pixels"
            )
        return crop_face(image_rgb, faces[0], info)
    if intersection_xyxy(box, np.array([0.0, 0.0, *size_wh])) == 0:
        raise RejectedRow(
            "box_outside", f"box {box.round(1).tolist()} in {size_wh[0]:g}x{size_wh[1]:g} pixels"
        )
    return crop_face(image_rgb, DetectedFace(box, None, points), info)
