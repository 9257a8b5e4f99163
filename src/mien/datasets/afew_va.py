"""AFEW-VA: frames of 600 clips from movies with valence, arousal and 68 landmarks; no expressions.

Kossaifi, Tzimiropoulos, Todorovic, Pantic 2017, Image and Vision Computing 65. A folder for each clip holds its frames,
``00000.png`` and so on, and ``<clip>.json`` with, for each frame, ``valence`` and ``arousal`` from -10 to 10 and
``landmarks`` in pixels, and the name of the ``actor``; the clips lie in folders of 50 (``01`` to ``12``) or side by
side. Layout as read by wtomin/Multitask-Emotion-Recognition-with-Incomplete-Labels
(``create_annotation_file/AFEW-VA/read_annotation_and_align_faces.py`` at 591e4ba).
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from mien.datasets.base import FaceDataset, FaceRecord, RejectedRow, assumed
from mien.datasets.files import list_names
from mien.datasets.listed import ListedFace, ListedFaces, draw_val, files_below
from mien.datasets.registry import DATASETS
from mien.errors import DatasetError
from mien.faces.images import IMAGE_SUFFIXES
from mien.faces.landmarks import N_LANDMARKS
from mien.runtime.json_text import parse_json
from mien.runtime.regular_files import read_regular

# A clip has at most a few hundred frames with 136 numbers each.
MAX_ANNOTATION_BYTES = 50_000_000
AFFECT_SCALE = 10


def open_afew_va(raw: Path, *, val_fraction: float = 0.1, every: int = 1) -> FaceDataset:
    """Open AFEW-VA. It has no splits: ``val`` is drawn by actor.

    Args:
        raw: a folder with the clips' folders, at any depth.
        val_fraction: fraction of faces assigned to ``val``.
        every: read only every N-th frame of a clip.

    Raises:
        DatasetError: it holds no clip.
    """
    if next(_find_clips(raw.resolve()), None) is None:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['afew-va'].layout}, it holds none: unpack the set there"
        )
    dataset = ListedFaces(
        raw.resolve(),
        "afew-va",
        (),
        "aligned",
        partial(_list_faces, every=every),
        annotate=_annotate,
        notes=(
            f"Valence and arousal are divided by {AFFECT_SCALE}.",
            assumed("the 68 points of a frame are in the order of iBUG, from the left end of the jaw"),
        ),
    )
    return draw_val(dataset, val_fraction)


def _find_clips(root: Path) -> Iterator[str]:
    """Yield the path of each clip's JSON file under ``root``, which has the name of its folder."""
    for file in files_below(root, frozenset({".json"})):
        path = Path(file)
        if path.stem == (root / path).parent.name:
            yield file


def _list_faces(root: Path, *, every: int) -> Iterator[ListedFace]:
    for file in _find_clips(root):
        folder = Path(file).parent
        images = [name for name in list_names(root / folder) if Path(name).suffix.lower() in IMAGE_SUFFIXES]
        try:
            frames, actor = read_clip(root / file)
        except RejectedRow as rejected:
            frames, actor, problem = {}, "", (rejected.reason, rejected.detail)
        else:
            problem = ("missing_annotation", f"`{Path(file).name}` has no frame of this number")
        stems = {Path(name).stem for name in images}
        names = sorted({*images, *(f"{frame}.png" for frame in frames if frame not in stems)})
        for name in names[::every]:
            yield ListedFace(
                (folder / name).as_posix(),
                "",
                None if Path(name).stem in frames else problem,
                person=actor,
                clip=folder.name,
            )


@lru_cache(maxsize=4)
def read_clip(path: Path) -> tuple[dict[str, Any], str]:
    """Return a clip's frames by number, and the name of its actor or "".

    Raises:
        RejectedRow: ``broken_annotation``.
    """
    try:
        clip = parse_json(read_regular(path, max_bytes=MAX_ANNOTATION_BYTES))
        frames, actor = dict(clip["frames"].items()), clip.get("actor")
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        reason = "`frames` is missing" if isinstance(error, KeyError) else error
        raise RejectedRow("broken_annotation", f"`{path.name}`: {reason}") from None
    return frames, actor if isinstance(actor, str) else ""


def _annotate(root: Path, file: str, record: FaceRecord) -> FaceRecord:
    """Add landmarks, valence and arousal; what cannot be used is dropped with a warning."""
    path = root / file
    frames, _ = read_clip(path.parent / f"{path.parent.name}.json")
    frame = frames[path.stem]
    if not isinstance(frame, dict):
        raise RejectedRow(
            "broken_annotation", f"frame {path.stem} of `{path.parent.name}.json` is no JSON object"
        )
    warnings = list(record.warnings)
    affect: dict[str, float | None] = {}
    for name in ("valence", "arousal"):
        value = frame.get(name)
        affect[name] = None
        if isinstance(value, (int, float)) and -AFFECT_SCALE <= value <= AFFECT_SCALE:
            affect[name] = value / AFFECT_SCALE
        else:
            warnings.append("affect_value")
    landmarks = None
    try:
        landmarks = np.array(frame.get("landmarks"), np.float64)
    except (TypeError, ValueError):
        warnings.append("landmark_value")
    if landmarks is not None and (landmarks.shape != (N_LANDMARKS, 2) or not np.isfinite(landmarks).all()):
        landmarks = None
        warnings.append("landmark_count")
    return replace(
        record,
        landmarks=landmarks,
        valence=affect["valence"],
        arousal=affect["arousal"],
        warnings=tuple(dict.fromkeys(warnings)),
    )
