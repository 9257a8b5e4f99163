"""The stage: draw a contact sheet of a pack, or of any rows of faces."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import claim_output, one_writer
from mien.browse.options import BrowseOptions, Grouping
from mien.browse.sheet import GAP, Row, Sheet, measure_title, require_image_suffix
from mien.drawing.fonts import printable_lines, warn_of_missing_characters
from mien.errors import ArtifactError
from mien.faces.crop import IDENTITY
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.schema import NO_LABEL
from mien.inference.results import FacePrediction
from mien.tasks import TASKS

CELL = 112
TITLE_WIDTH = 130
# About the size at which a face can be judged, for network inputs with fewer pixels.
TARGET_SIDE = 144


class _PackedFace(NamedTuple):
    """A face as it is in the pack."""

    image_rgb: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    caption: str = ""


def browse(  # noqa: PLR0913 - one keyword per option, as on the command line
    pack_path: Path,
    out: Path,
    *,
    per_class: int = BrowseOptions.per_class,
    by: Grouping = BrowseOptions.by,
    split: str = BrowseOptions.split,
    seed: int = BrowseOptions.seed,
    force: bool = False,
) -> None:
    """Draw one row of faces per class, with their landmarks; or per action unit, or quadrant of valence and arousal.

    Args:
        pack_path: the pack.
        out: a PNG or JPEG file.
        per_class: maximum number of faces in a row.
        by: the task that the rows are of. Other than the expression, the values are written below the faces.
        split: which split of the pack to show.
        seed: seed for choosing the faces.
        force: replace an existing file.

    Raises:
        ArtifactError: pack or split is missing, the pack is not annotated for the task, ``out`` exists or has another suffix, or the sheet is too large.
        SourceError: ``MIEN_FONT`` is not a font.
    """
    require_image_suffix(out)
    pack = Pack.open(pack_path)
    faces = pack.split(split)
    warn_of_missing_characters(pack.info.classes)
    groups = _group_faces(faces, by)
    counts = [int(members.sum()) for members in groups.values()]
    titles = [f"{printable_lines(name)}\n{n:,}" for name, n in zip(groups, counts, strict=True)]
    captions = [""] * len(faces)
    if by != "expression":
        label, to_fields = TASKS[by].resolve("label"), TASKS[by].resolve("row")
        fields = (to_fields(values, IDENTITY, pack.info.annotations) for values in faces.annotations[by])
        captions = ["\n".join(label(FacePrediction("", **found))) for found in fields]
    sheet = Sheet(
        [max(len(caption.splitlines()) for caption in captions)] * len(groups),
        max(1, min(per_class, max(counts))),
        side=CELL - GAP,
        title_width=_title_width(titles),
    )
    random = np.random.default_rng(seed)
    with one_writer(out):
        claim_output(out, force=force)
        for row, (title, is_member) in enumerate(zip(titles, groups.values(), strict=True)):
            members = np.flatnonzero(is_member)
            sheet.write_title(row, title)
            for column, index in enumerate(np.sort(random.permutation(members)[:per_class]).tolist()):
                face = _PackedFace(faces.image(index), faces.landmarks[index], captions[index])
                sheet.draw_face(row, column, face)
        sheet.write(out)


def _group_faces(faces: PackSplit, by: str) -> dict[str, NDArray[np.bool_]]:
    """Return which faces belong to each row, by its title."""
    info = faces.pack.info
    if by == "expression":
        groups = {name: faces.labels == index for index, name in enumerate(info.classes)}
        if info.unlabeled.get(faces.name):
            groups["(no label)"] = faces.labels == NO_LABEL
        return groups
    values = faces.annotations.get(by)
    if values is None or not np.isfinite(values).any():
        raise ArtifactError(
            f"--by {by} needs faces annotated for it, and split {faces.name!r} of pack {faces.pack.path} has none. Choose "
            "another task or pack"
        )
    grouped: dict[str, NDArray[np.bool_]] = TASKS[by].resolve("groups")(values, info.annotations)
    return grouped


def draw_rows(rows: Sequence[Row], out: Path, *, input_size: int, force: bool = False) -> None:
    """Draw rows of faces, with every pixel of a network input enlarged to a square by an integer factor.

    Args:
        rows: from top to bottom.
        out: a PNG or JPEG file.
        input_size: side of the network input in pixels.
        force: replace an existing file.

    Raises:
        ArtifactError: ``out`` exists or has another suffix, or the sheet is too large.
        SourceError: ``MIEN_FONT`` is not a font.
    """
    require_image_suffix(out)
    warn_of_missing_characters([row.title for row in rows])
    captions = [max((len(face.caption.splitlines()) for face in row.faces), default=0) for row in rows]
    sheet = Sheet(
        captions,
        max(len(row.faces) for row in rows),
        side=input_size * max(1, round(TARGET_SIDE / input_size)),
        title_width=_title_width([row.title for row in rows]),
    )
    with one_writer(out):
        claim_output(out, force=force)
        for number, row in enumerate(rows):
            sheet.write_title(number, row.title)
            for column, face in enumerate(row.faces):
                sheet.draw_face(number, column, face)
        sheet.write(out)


def _title_width(titles: Sequence[str]) -> int:
    return max(TITLE_WIDTH, 20 + max(measure_title(title) for title in titles))
