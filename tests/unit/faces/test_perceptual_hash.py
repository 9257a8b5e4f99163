"""The perceptual hash: near for copies, far for other pictures."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.faces.perceptual_hash import mirrored_hashes, perceptual_hash

Pixels = NDArray[np.uint8]
SEEDS = range(12)


def picture(seed: int, side: int = 256) -> Pixels:
    """A random picture with as much detail at every size as photographs have (amplitude 1 / frequency)."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(side, side))) / frequency).real
    grey = 128 + 45 * noise / noise.std()
    return np.clip(grey[:, :, None] + (10, 0, -10), 0, 255).astype(np.uint8)


def recompressed(pixels: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


def rescaled(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((150, 150), Image.Resampling.BILINEAR).resize(image.size))


def brightened(pixels: Pixels) -> Pixels:
    return np.clip(pixels.astype(float) * 0.9 + 12, 0, 255).astype(np.uint8)


def distance(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


@pytest.mark.parametrize("copy", [recompressed, rescaled, brightened])
def test_copies_are_near(copy: Callable[[Pixels], Pixels]) -> None:
    """A copy differs in few of the 256 bits."""
    distances = [distance(perceptual_hash(picture(s)), perceptual_hash(copy(picture(s)))) for s in SEEDS]
    assert max(distances) <= 12


def test_other_pictures_are_far() -> None:
    """Different pictures differ in many bits."""
    hashes = [perceptual_hash(picture(seed)) for seed in SEEDS]
    assert min(distance(a, b) for a in hashes for b in hashes if a is not b) > 50


def test_grey_copy_is_near() -> None:
    """A picture and its grey version are near."""
    for seed in SEEDS:
        grey = np.asarray(Image.fromarray(picture(seed)).convert("L"))
        assert distance(perceptual_hash(picture(seed)), perceptual_hash(grey)) <= 2


@pytest.mark.parametrize("side", [256, 255, 48])
def test_the_hash_of_a_mirrored_picture_follows_from_its_own(side: int) -> None:
    """Bit for bit, but for frequencies that rounding decides; and a mirrored copy that was saved anew is near."""
    for seed in SEEDS:
        pixels = picture(seed, side)
        derived = mirrored_hashes(np.frombuffer(perceptual_hash(pixels), np.uint8)).tobytes()
        mirrored = np.ascontiguousarray(pixels[:, ::-1])
        assert distance(perceptual_hash(mirrored), derived) <= 1
        assert distance(perceptual_hash(recompressed(mirrored)), derived) <= 12


@pytest.mark.parametrize("value", [0, 127, 255])
def test_blank_picture_has_a_hash(value: int) -> None:
    """A picture of one colour is no special case."""
    assert len(perceptual_hash(np.full((64, 64, 3), value, np.uint8))) == 32
