"""How many copies of a set's own images the near-duplicate search finds, how often it is wrong, and what it costs.

    python benchmarks/near_duplicates.py RAW_IMAGES [--copies 300] [--crop whole] [--size 256] [--detector FILE]

RAW_IMAGES is a folder of images of faces, at any depth. It is prepared, and for each kind, so are copies of some of its images;
the copies that are in the group of their image are counted as training on both packs would find them, with a 95% Wilson
interval. Groups of
different images are counted in the folder alone; whether these are copies too can only be judged by eye, so that their
images are written to a folder with --joined DIR. The cost is the CPU time of the search in that of the whole command,
with one worker (--copies 0 measures nothing else; set OPENBLAS_NUM_THREADS=1 on a busy machine, where its threads wait actively).
"""

import argparse
import contextlib
import io
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.datasets.registry import DatasetOptions
from mien.faces.crop_options import DEFAULT_SIZE
from mien.faces.images import IMAGE_SUFFIXES, decode_image
from mien.faces.near_duplicates import find_groups
from mien.formats.pack import Pack
from mien.metrics.proportion import wilson_interval
from mien.prepare import closing
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare

Image = NDArray[np.uint8]
PLACES = ("Neutral", "Happy")


def warp(image: Image, *, turn_deg: float = 0, x: float = 0, y: float = 0) -> Image:
    """Turn about the center and shift by fractions of the size, black outside."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1)
    matrix[:, 2] += (x * width, y * height)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)), dtype=np.uint8)


def cut(image: Image, fraction: float, *, x: float = 0.5, y: float = 0.5) -> Image:
    """Return the part with a fraction of the sides, from the left or top (0) to the right or bottom (1)."""
    height, width = image.shape[:2]
    new_height, new_width = round(height * fraction), round(width * fraction)
    top, left = round((height - new_height) * y), round((width - new_width) * x)
    return image[top : top + new_height, left : left + new_width]


def brighten(image: Image) -> Image:
    """Return an image with a tenth more contrast and 15 gray levels more."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=1.1, beta=15), dtype=np.uint8)


def recompress(image: Image, quality: int) -> Image:
    """Return an image as JPEG makes it."""
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], -1), np.uint8
    )


KINDS: dict[str, Callable[[Image], Image]] = {
    "mirrored": lambda image: image[:, ::-1],
    "turned 10 degrees": lambda image: warp(image, turn_deg=10),
    "cut to 90%": lambda image: cut(image, 0.9),
    "cut to 90%, at a corner": lambda image: cut(image, 0.9, x=0, y=1),
    "shifted 5.4% (12 of 224 px)": lambda image: warp(image, x=12 / 224),
    "shifted 5.4% both ways": lambda image: warp(image, x=12 / 224, y=-12 / 224),
    "brighter": brighten,
    "JPEG quality 40": lambda image: recompress(image, 40),
    "blurred, 40% of the size": lambda image: cv2.resize(
        image, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA
    ),
    "mirrored, cut to 90%": lambda image: cut(image[:, ::-1], 0.9),
    "mirrored, turned 10 degrees": lambda image: warp(image[:, ::-1], turn_deg=-10),
    "turned 10 degrees, cut to 90%": lambda image: cut(warp(image, turn_deg=10), 0.9),
    "turned 5 degrees, shifted 2.7%, JPEG 60": lambda image: recompress(
        warp(image, turn_deg=5, x=6 / 224), 60
    ),
    "cut to 90%, brighter, JPEG 50": lambda image: recompress(brighten(cut(image, 0.9)), 50),
    "turned 15 degrees": lambda image: warp(image, turn_deg=15),
    "cut to 80%": lambda image: cut(image, 0.8),
    "shifted 10%": lambda image: warp(image, x=0.1),
}


def prepare_folder(raw: Path, out: Path, options: PrepareOptions) -> tuple[Pack, float, float]:
    """Return the pack, the CPU seconds of its near-duplicate search, and those of the whole command."""
    spent = [0.0]
    search = closing.find_groups

    def timed(*arguments: NDArray[np.uint8]) -> NDArray[np.int64]:
        start = time.process_time()
        groups = search(*arguments)
        spent[0] = time.process_time() - start
        return groups

    before = time.process_time()
    with mock.patch.object(closing, "find_groups", timed), contextlib.redirect_stderr(io.StringIO()):
        prepare("folder", raw, out, options)
    return Pack.open(out), spent[0], time.process_time() - before


def main() -> None:
    """Print one line for each kind of copy, then the groups of the folder alone, then the cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("--copies", type=int, default=300)
    parser.add_argument("--crop", choices=("whole", "box", "aligned"), default="whole")
    parser.add_argument("--size", type=int, default=DEFAULT_SIZE)
    parser.add_argument("--detector", type=Path)
    parser.add_argument("--joined", type=Path)
    args = parser.parse_args()
    options = PrepareOptions(
        crop=args.crop,
        size=args.size,
        workers=1,
        detector_path=args.detector,
        dataset=DatasetOptions(val_fraction=0.0),
        force=True,
    )
    paths = [path for path in sorted(args.images.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]
    order = np.random.default_rng(0).permutation(len(paths))[: args.copies]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals = folder / "originals"
        for place in PLACES:  # a folder set has two classes at least
            (originals / place).mkdir(parents=True)
        for number, path in enumerate(paths):
            shutil.copy(path, originals / PLACES[number % 2] / f"{number}{path.suffix}")
        pack, searching, total = prepare_folder(originals, folder / "originals.pack", options)
        split = pack.split("train")
        numbers, sizes = np.unique(split.groups, return_counts=True)
        exact = pack.info.duplicates["exact_copies"]
        print(
            f"{len(split)} images alone: {pack.info.duplicates['near_copies']} repeat another, {exact} of them exactly; "
            f"the largest group has {sizes.max()}; search {searching / total:.1%} of the CPU time of prepare "
            f"({searching:.1f} of {total:.1f} s)"
        )
        if args.joined:
            args.joined.mkdir(exist_ok=True)
            for group in numbers[sizes > 1]:
                members = np.flatnonzero(split.groups == group)[:8]
                sheet = np.hstack([cv2.resize(split.image(int(index)), (128, 128)) for index in members])
                cv2.imwrite(str(args.joined / f"{group}.png"), sheet[:, :, ::-1])
        own = dict(zip(split.keys, range(len(split)), strict=True))
        hashes, thumbnails = split.read_perceptual_hashes(), split.read_thumbnails()
        n_alone = len(np.unique(find_groups(hashes, thumbnails)))
        copies = folder / "copies"
        for place in PLACES:
            (copies / place).mkdir(parents=True)
        for kind, copy in KINDS.items() if args.copies else ():
            for number in order:
                target = copies / PLACES[number % 2] / f"{number}.png"
                cv2.imwrite(str(target), copy(decode_image(paths[number].read_bytes()))[..., ::-1])
            copied = prepare_folder(copies, folder / "copies.pack", options)[0].split("train")
            groups = find_groups(
                np.concatenate([hashes, copied.read_perceptual_hashes()]),
                np.concatenate([thumbnails, copied.read_thumbnails()]),
            )
            pairs = []
            for index, key in enumerate(copied.keys, start=len(split)):
                original = key.removesuffix(".png") + paths[int(Path(key).stem)].suffix
                if original in own:
                    pairs.append((own[original], index))
            found = sum(groups[one] == groups[other] for one, other in pairs)
            joined = n_alone - len(np.unique(groups[: len(split)]))
            low, high = wilson_interval(found, len(pairs))
            print(
                f"{kind:42} {found} of {len(pairs)}: {found / len(pairs):.1%} ({low:.1%} to {high:.1%}); {joined} others joined"
            )


if __name__ == "__main__":
    main()
