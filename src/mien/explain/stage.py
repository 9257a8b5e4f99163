"""The stage `explain`: from faces to maps, near training faces, a page and JSON."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import mien
from mien.artifacts import file_sha256, new_folder, write_json
from mien.assets.bundled_models import find_model
from mien.errors import ArtifactError, SourceError
from mien.explain.confusion import Confusion, read_confusion
from mien.explain.options import ExplainOptions
from mien.explain.page import MAX_FACES, ExplainedFace, write_page
from mien.explain.writing import describe_face, describe_image, write_maps
from mien.faces.detector import load_detector
from mien.faces.detector_file import require_detection
from mien.formats.onnx_model import OnnxModel
from mien.inference.explanation import Explanation, explain_faces, require_class
from mien.inference.media_sources import MediaSource, find_sources
from mien.inference.pipeline import (
    CroppedImage,
    preprocess_file,
    preprocess_url,
    warn_if_trained_on_crops,
)
from mien.inference.results import row_without_face
from mien.runtime.addresses import local_path
from mien.runtime.language import Language
from mien.runtime.options import given_options, option_flag
from mien.runtime.progress import Progress
from mien.runtime.terminal import on_one_line

if TYPE_CHECKING:
    from mien.explain.pack_faces import TrainingFaces

REPORT_JSON = "explain.json"
FORMAT_VERSION = 1
# Takes a crop ``(S, S, 3)`` uint8 and the index of a class; returns a map ``(S, S)``.
GradientMap = Callable[[NDArray[np.uint8], int], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class ExplainSummary:
    """What the command line shows.

    Attributes:
        lines: one for each face, or image without one.
        out: the folder.
        n_images: number of images and faces of a pack.
        n_unreadable: number of images among them that could not be read.
    """

    lines: tuple[str, ...]
    out: Path
    n_images: int
    n_unreadable: int

    def __str__(self) -> str:
        count = (
            f" ({self.n_unreadable:,} of {self.n_images:,} images unreadable)" if self.n_unreadable else ""
        )
        return "\n".join([*self.lines, f"Page: {self.out / 'explain.html'}{count}"])


class _Subject(NamedTuple):
    """An image to explain: cropped, with its label and near-duplicate group if it is from a pack."""

    image: CroppedImage
    label: str | None = None
    group: int | None = None


# Options that concern the faces of a pack.
_OF_PACK = ("keys", "split", "neighbors")


def explain(  # noqa: PLR0913 - what it reads, besides the options
    sources: Sequence[str | Path],
    model: str | Path | None = None,
    *,
    out: str | Path,
    options: ExplainOptions | None = None,
    pack: str | Path | None = None,
    open_gradients: Callable[[OnnxModel], GradientMap] | None = None,
    lines: Iterable[str] = (),
) -> ExplainSummary:
    """Explain the answers for the faces of images, and of a pack.

    Args:
        sources: images, folders, patterns or URLs, see `mien.inference.media_sources.find_sources`.
        model: the name of a bundled model, a file written by `mien export`, or None for the default.
        out: the folder for explain.json, explain.html and the maps, written atomically.
        options: see `ExplainOptions`.
        pack: folder written by `prepare`, for the most similar training faces and for the keys in the options.
        open_gradients: returns a function that computes maps by gradients for the loaded model; None for no such maps.
        lines: the list that the source ``-`` stands for.

    Raises:
        SourceError: a source does not exist, is a video or a camera, or the detector's file is missing.
        ArtifactError: the model, pack or report cannot be used, a key is unknown, or `out` already exists.
        ModelError: the model does not know the class to explain, or its output is not finite.
        TypeError: `sources` is a single image, not in a list.
        ValueError: `out` is an address, or the language is unknown.
    """
    if isinstance(sources, str | Path):
        raise TypeError(f"`sources` must be a list of images, got {str(sources)!r}: write [{str(sources)!r}]")
    options, out = options or ExplainOptions(), local_path(out)
    pack, language = None if pack is None else Path(pack), Language.load(options.language)
    onnx_model = OnnxModel.load(find_model(model))
    require_class(options.target, onnx_model)
    confusion = None if options.report is None else read_confusion(options.report, onnx_model.path)
    given = [option_flag(entry) for entry, _ in given_options(options) if entry.name in _OF_PACK]
    if pack is None and given:
        raise ArtifactError(f"{given[0]} is for the faces of a pack: add --pack")
    found = _find_images(sources, lines, out)
    gradients = None if open_gradients is None else open_gradients(onnx_model)
    subjects: list[Iterator[_Subject]] = [_read_images(found, onnx_model, options)]
    n_images, training = len(found), None
    with new_folder(out, force=options.force, kind_mark=REPORT_JSON) as folder:
        if pack is not None:
            faces, training = _open_pack(pack, onnx_model, options)
            subjects.insert(0, iter(faces))
            n_images += len(faces)
        (folder / "faces").mkdir()
        shown: list[ExplainedFace] = []
        entries: list[dict[str, Any]] = []
        texts, n_unreadable = [], 0
        with Progress("Explaining", total=n_images, unit="image") as progress:
            for subject in (subject for part in subjects for subject in part):
                n_before = len(entries)
                for explanation in explain_faces(subject.image, onnx_model, target=options.target):
                    face = _complete(explanation, subject, onnx_model, gradients, confusion)
                    if training is not None:
                        near = training.find_nearest(
                            explanation.crop_rgb, options.neighbors, other_than=subject.group
                        )
                        face = face._replace(neighbors=near)
                    # The page shows no more of them, and each may hold a megabyte.
                    if len(shown) < MAX_FACES:
                        shown.append(face)
                    files = write_maps(folder / "faces", len(entries) + 1, face)
                    entries.append(describe_face(face, files))
                    texts.append(on_one_line(str(face)))
                if len(entries) == n_before:
                    row = row_without_face(subject.image.source, subject.image.problem)
                    n_unreadable += subject.image.problem is not None
                    entries.append(describe_image(row))
                    texts.append(on_one_line(f"{row.source}: {row}"))
                progress.advance()
        write_page(folder / "explain.html", shown, entries, onnx_model.path.name, language=language)
        document = {
            "format_version": FORMAT_VERSION,
            "mien_version": mien.__version__,
            "model": {"file": onnx_model.path.name, "sha256": file_sha256(onnx_model.path)},
            "classes": list(onnx_model.info.classes),
            "pack": None if pack is None else pack.resolve().name,
            "faces": entries,
        }
        write_json(folder / REPORT_JSON, document)
    return ExplainSummary(tuple(texts), out, n_images, n_unreadable)


def _find_images(sources: Sequence[str | Path], lines: Iterable[str], out: Path) -> list[MediaSource]:
    """Return the images behind the sources.

    Raises:
        SourceError: one does not exist, or is a video or a camera.
    """
    found = find_sources(sources, lines=lines, leave_out=out)
    for source in found:
        if source.is_video:
            raise SourceError(
                f"{source.name} is a video or camera, but faces are explained in images. Save the frame as an image"
            )
    return found


def _open_pack(
    path: Path, model: OnnxModel, options: ExplainOptions
) -> tuple[list[_Subject], "TrainingFaces"]:
    """Return the faces of a pack that are to be explained, and its training faces."""
    from mien.explain.pack_faces import TrainingFaces, find_faces  # noqa: PLC0415 - pyarrow loads slowly
    from mien.formats.pack import Pack  # noqa: PLC0415

    pack, faces = Pack.open(path), []
    if options.keys:
        found = find_faces(pack.split(options.split), options.keys, model.info.input_size)
        faces = [_Subject(*face) for face in found]
    return faces, TrainingFaces.read(pack, model)


def _read_images(
    sources: Sequence[MediaSource], model: OnnxModel, options: ExplainOptions
) -> Iterator[_Subject]:
    """Yield the images one by one, with their faces cropped as `mien predict` crops them."""
    require_detection(options.detector_path, options.crop)
    detector = None
    if options.crop == "detect" and sources:
        warn_if_trained_on_crops(model.info)
        detector = load_detector(options.detector_path)
    for source in sources:
        if isinstance(source.location, str):
            image = preprocess_url(source.name, source.location, model.info, detector=detector)
        else:
            image = preprocess_file(Path(source.name), model.info, detector=detector)
        yield _Subject(image)


def _complete(
    explanation: Explanation,
    subject: _Subject,
    model: OnnxModel,
    gradients: GradientMap | None,
    confusion: Confusion | None,
) -> ExplainedFace:
    """Return an explanation with what the other methods and the report say."""
    target = model.info.classes.index(explanation.target)
    answer = model.info.classes[int(explanation.output["expression"].argmax())]
    return ExplainedFace(
        explanation=explanation,
        label=subject.label,
        gradients=None if gradients is None else gradients(explanation.crop_rgb, target),
        confusion=None if confusion is None else confusion.describe(answer, subject.label),
    )
