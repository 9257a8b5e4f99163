"""Turned, cut, shifted and mirrored copies among faces, and other faces that are none."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces import copy_search
from mien.faces.copy_check import are_copies, detail, find_copies
from mien.faces.copy_search import INDEXED, LOOKED_UP, Transform
from mien.faces.near_duplicates import find_groups
from mien.faces.perceptual_hash import perceptual_hash
from mien.faces.thumbnail import thumbnail
from mien.sample.image import draw_image

Image = NDArray[np.uint8]
N_FACES = 40


def warped(image: Image, *, turn_deg: float = 0, zoom: float = 1, x: float = 0, y: float = 0) -> Image:
    """Turn and zoom an image about its center and shift it by fractions of its size, black outside."""
    side = image.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), turn_deg, zoom)
    matrix[:, 2] += (x * side, y * side)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side)), dtype=np.uint8)


COPIES: dict[str, Callable[[Image], Image]] = {
    "mirrored": lambda image: image[:, ::-1],
    "turned 10 degrees": lambda image: warped(image, turn_deg=10),
    "turned back 10 degrees": lambda image: warped(image, turn_deg=-10),
    "cut to 90%": lambda image: warped(image, zoom=1 / 0.9),
    "cut to 90% at a corner": lambda image: warped(image, zoom=1 / 0.9, x=0.05, y=-0.05),
    "shifted by 12 of 224 pixels": lambda image: warped(image, x=12 / 224),
    "mirrored and cut": lambda image: warped(image[:, ::-1], zoom=1 / 0.9),
    "mirrored and turned 5 degrees": lambda image: warped(image[:, ::-1], turn_deg=5),
    "brighter and cut": lambda image: warped(cv2.convertScaleAbs(image, alpha=1.1, beta=12), zoom=1 / 0.9),
}


@pytest.fixture(scope="module")
def faces() -> list[Image]:
    """Drawn faces of different people, 224 pixels wide and high."""
    names = ("Neutral", "Happy", "Sad", "Surprise")
    drawn = [draw_image(names[index % 4], seed=0, index=index).pixels for index in range(N_FACES)]
    return [cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA) for pixels in drawn]


def pairs_of(images: list[Image]) -> set[tuple[int, int]]:
    found = find_copies(np.stack([thumbnail(image) for image in images]))
    return {(min(pair), max(pair)) for pair in found.tolist()}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_each_kind_are_found(faces: list[Image], kind: str) -> None:
    """At least 95% of the copies are found, and nothing but copies."""
    copies = [COPIES[kind](face) for face in faces]
    found = pairs_of(faces + copies)
    expected = {(index, N_FACES + index) for index in range(N_FACES)}
    assert found <= expected
    assert len(found) >= 0.95 * N_FACES


# A crop of an image that ends close to the face reaches beyond it, and is black there.
REALIGNED: dict[str, Callable[[Image], Image]] = {
    "mirrored": lambda image: warped(image[:, ::-1], zoom=0.8, turn_deg=-4),
    "turned 10 degrees": lambda image: warped(warped(image, turn_deg=10), zoom=0.8, turn_deg=-6),
    "turned back 10 degrees": lambda image: warped(warped(image, turn_deg=-10), zoom=0.8, turn_deg=14),
    "cut to 90%": lambda image: warped(image[11:-11, 11:-11], zoom=0.8, turn_deg=4),
    "cut to 90% at a corner": lambda image: warped(image[:-22, 22:], zoom=0.8, turn_deg=4),
    "shifted by 12 of 224 pixels": lambda image: warped(warped(image, x=12 / 224), zoom=0.8, turn_deg=4),
    "brighter": lambda image: warped(cv2.convertScaleAbs(image, alpha=1.1, beta=12), zoom=0.8, turn_deg=4),
    "blurred": lambda image: warped(cv2.GaussianBlur(image, (0, 0), 2), zoom=0.8, turn_deg=4),
}


@pytest.mark.parametrize("kind", REALIGNED)
def test_copies_are_found_although_crops_are_black_at_other_places(faces: list[Image], kind: str) -> None:
    """The face is where the original has it, what is black is not: at least 95% are found, and nothing else."""
    crops = [warped(face, zoom=0.8, turn_deg=4) for face in faces]
    copies = [cv2.resize(REALIGNED[kind](face), (224, 224), interpolation=cv2.INTER_AREA) for face in faces]
    found = pairs_of(crops + copies)
    assert found <= {(index, N_FACES + index) for index in range(N_FACES)}
    assert len(found) >= 0.95 * N_FACES


def test_different_faces_are_no_copies(faces: list[Image]) -> None:
    """Faces of different people are not joined, blank images neither."""
    blank = [np.full((224, 224), value, np.uint8) for value in (0, 0, 90, 255)]
    assert pairs_of(faces + blank) == set()


def test_blank_images_are_not_compared(faces: list[Image], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them would match each other, which took 18 seconds for 200; nothing but blank images is no special case."""
    looked_up: list[int] = []
    equal_pairs = copy_search._equal_pairs

    def count(lookups: NDArray[np.uint32], index: NDArray[np.uint32]) -> Iterator[Any]:
        looked_up.append(len(lookups))
        return equal_pairs(lookups, index)

    monkeypatch.setattr(copy_search, "_equal_pairs", count)
    blank = [np.full((224, 224), value, np.uint8) for value in range(50)]
    assert pairs_of(blank) == set()
    assert pairs_of([*blank, faces[0], faces[0][:, ::-1]]) == {(50, 51)}
    assert looked_up == [0, 2 * len(LOOKED_UP)]


def test_the_detail_decides(faces: list[Image]) -> None:
    """Faces that agree when blurred are no copies if their detail is another's; a shifted one with its own detail is."""
    upright = LOOKED_UP.index(Transform())
    center, right = (INDEXED.index(Transform(shift_x=x)) for x in (0, 0.03))
    smooth = [cv2.GaussianBlur(thumbnail(face), (0, 0), 4).astype(np.float64) for face in faces]
    noises = np.random.default_rng(0).normal(scale=12, size=(2, N_FACES, 16, 16))
    one, other = (
        [
            np.clip(face + cv2.resize(noise, (32, 32)), 0, 255).astype(np.uint8)
            for face, noise in zip(smooth, half, strict=True)
        ]
        for half in noises
    )
    for first, second in zip(one, other, strict=True):
        assert not are_copies(detail(first), detail(second), lookup=upright, window=center)
        shifted = warped(first, x=1 / 32)
        assert are_copies(detail(first), detail(shifted), lookup=upright, window=right)


def test_lookups_reach_every_mild_transform() -> None:
    """Some lookup, or its inverse, and some shift come near each turn, zoom and mirroring there is."""
    for turn in range(-10, 11):
        for zoom in (0.9, 1.0, 1.1):
            for is_mirrored in (False, True):
                near = [
                    sign * transform.turn_deg - turn
                    for transform in LOOKED_UP
                    for sign, reached in ((1, transform.zoom), (-1, 1 / transform.zoom))
                    if transform.is_mirrored == is_mirrored and abs(reached - zoom) < 0.02
                ]
                assert min(map(abs, near)) <= 2.5
    assert max(window.shift_x for window in INDEXED) >= 12 / 224


def test_groups_join_copies_with_equal_hashes(faces: list[Image]) -> None:
    """A group has a face, its recompressed copy and a turned copy of that; its number is its first member."""
    images = [faces[0], faces[1], faces[1], warped(faces[1], turn_deg=8), warped(faces[0][:, ::-1], zoom=1.1)]
    hashes = np.stack([np.frombuffer(perceptual_hash(image), np.uint8) for image in images])
    assert find_groups(hashes).tolist() == [0, 1, 1, 3, 4]
    assert find_groups(hashes, np.stack([thumbnail(image) for image in images])).tolist() == [0, 1, 1, 1, 0]
