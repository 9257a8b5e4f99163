"""Faces to keep out of training that are in none of its packs: those of a pack, or of a folder of images."""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import DatasetError
from mien.faces.crop import CropContract, crop_image, crop_matrix
from mien.faces.detector import Detector, load_detector
from mien.faces.image_files import read_image_file
from mien.faces.images import IMAGE_SUFFIXES, UnreadableImage, decode_image
from mien.faces.near_duplicates import find_groups
from mien.faces.perceptual_hash import perceptual_hash
from mien.faces.thumbnail import thumbnail
from mien.formats.pack.reader import Pack
from mien.runtime.addresses import local_path
from mien.runtime.cpu import usable_cpu_cores
from mien.runtime.progress import Progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptOut:
    """What copies of the faces are found by.

    Attributes:
        hashes: ``(N, 32)`` uint8 from `mien.faces.perceptual_hash`.
        thumbnails: ``(N, 32, 32)`` uint8 from `mien.faces.thumbnail`.
    """

    hashes: NDArray[np.uint8]
    thumbnails: NDArray[np.uint8]


def find_repeats(packs: Sequence[Pack], kept_out: Iterable[str | Path]) -> NDArray[np.bool_]:
    """Return which training faces of packs repeat a face that is to be kept out.

    Args:
        packs: packs that are cropped alike.
        kept_out: packs, or folders of images at any depth.

    Returns:
        ``(N,)`` mask over the train splits in the order of the packs.

    Raises:
        DatasetError: a folder does not exist or has no usable image, or a pack is cropped differently.
        ArtifactError: a pack is damaged.
    """
    splits = [pack.split("train") for pack in packs]
    n_train = sum(map(len, splits))
    try:
        paths = [local_path(path) for path in kept_out]
    except ValueError as error:
        raise DatasetError(f"The faces to keep out: each {error}") from None
    others = [_read(path, packs[0]) for path in paths]
    if not others:
        return np.zeros(n_train, dtype=bool)
    hashes = [split.read_perceptual_hashes() for split in splits] + [other.hashes for other in others]
    thumbnails = [split.read_thumbnails() for split in splits] + [other.thumbnails for other in others]
    groups = find_groups(np.concatenate(hashes), np.concatenate(thumbnails))
    return np.isin(groups[:n_train], groups[n_train:])


def _read(path: Path, like: Pack) -> KeptOut:
    if (path / "pack.json").exists():
        pack = Pack.open(path)
        if not pack.info.crop.crops_like(like.info.crop):
            raise DatasetError(
                f"Faces can be kept out of training on {like.path} if they are cropped alike: it has "
                f"{like.info.crop.describe()}, {path} has {pack.info.crop.describe()}. Give the folder of its images, or "
                "prepare one of them again"
            )
        splits = [pack.split(name) for name in pack.splits]
        return KeptOut(
            np.concatenate([split.read_perceptual_hashes() for split in splits]),
            np.concatenate([split.read_thumbnails() for split in splits]),
        )
    if not path.is_dir():
        raise DatasetError(
            f"The faces to keep out must be a pack or a folder of images, there is none at {path}. Correct `--keep-out` "
            "or the recipe key `data.keep_out`"
        )
    images = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES]
    crop = like.info.crop
    detector = None if crop.method == "whole" else load_detector()
    found = []
    n_unreadable = n_without_face = 0
    with (
        Progress("Reading faces to keep out", total=len(images), unit="image") as progress,
        ThreadPoolExecutor(usable_cpu_cores()) as pool,
    ):
        for crops in pool.map(lambda file: _read_crops(file, crop, detector), images):
            found += crops
            n_unreadable += not crops
            n_without_face += detector is not None and len(crops) == 1
            progress.advance(1)
    if not found:
        raise DatasetError(f"{path} has no readable image of a face to keep out among {len(images)} images")
    if n_unreadable:
        _log.warning(
            "%s of %s images in %s cannot be read and are not kept out",
            f"{n_unreadable:,}",
            f"{len(images):,}",
            path,
        )
    if n_without_face:
        _log.warning(
            "No face is found in %s of %s images in %s: only copies of the whole image are kept out",
            f"{n_without_face:,}",
            f"{len(images):,}",
            path,
        )
    return KeptOut(
        np.frombuffer(b"".join(hashed for hashed, _ in found), np.uint8).reshape(-1, 32),
        np.stack([small for _, small in found]),
    )


def _read_crops(
    file: Path, crop: CropContract, detector: Detector | None
) -> list[tuple[bytes, NDArray[np.uint8]]]:
    """Return hash and thumbnail of an image's crops: in full, and of every face; none if the image cannot be read."""
    try:
        pixels = decode_image(read_image_file(file))
    except UnreadableImage:
        return []
    size_wh = (pixels.shape[1], pixels.shape[0])
    whole = CropContract(method="whole", margin=crop.margin, size=crop.size)
    matrices = [crop_matrix(whole, size_wh)[0]]
    if detector is not None:
        matrices += [
            crop_matrix(crop, size_wh, anchors=face.anchors, box_xyxy=face.box_xyxy)[0]
            for face in detector.find_faces(pixels)
        ]
    crops = [crop_image(pixels, matrix, crop.size) for matrix in matrices]
    return [(perceptual_hash(one), thumbnail(one)) for one in crops]
