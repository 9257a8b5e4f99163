"""Images of about 1000 x 1000 px in AffectNet's layout, like those of that set, made from any set in this layout.

Each image is enlarged to 1000 px and saved at JPEG quality 90, with its boxes and landmarks scaled accordingly. An enlargement is smoother
than a photograph of its size and faster to decode, so noise is added: enough for the bits per pixel of the photographs that it is
made from (1.2 for LFW's).
"""

import csv
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from mien.faces.images import decode_image, encode_jpeg, to_rgb
from mien.sample.write import write_sample

SIDE = 1000
GRAIN = 2.7


def make_photos(folder: Path, raw: Path | None, n_photos: int) -> Path:
    """Write a set of large images and return its folder.

    Args:
        folder: where to write.
        raw: a set in AffectNet's layout to enlarge, or None to draw one.
        n_photos: how many.
    """
    if raw is None:
        raw = folder / "drawn"
        write_sample(raw, n_faces=n_photos)
    out = folder / "photos"
    images = out / "Manually_Annotated_Images"
    images.mkdir(parents=True)
    with (
        (raw / "training.csv").open(newline="") as source,
        (out / "training.csv").open("w", newline="") as target,
    ):
        reader = csv.DictReader(source)
        writer = csv.DictWriter(target, list(reader.fieldnames or []))
        writer.writeheader()
        for number, row in enumerate(_usable(reader, raw / "Manually_Annotated_Images")):
            if number == n_photos:
                break
            writer.writerow(_enlarge(row, raw / "Manually_Annotated_Images", images))
    (out / "validation.csv").write_text((out / "training.csv").read_text().splitlines()[0] + "\n")
    return out


def _usable(rows: Iterable[dict[str, str]], images: Path) -> list[dict[str, str]]:
    """Return only rows with faces, since AffectNet has few others and no broken files; shuffled, since sets are sorted by class."""
    usable = [
        row
        for row in rows
        if row["expression"].isdigit()
        and int(row["expression"]) < 8
        and not row["facial_landmarks"].startswith("-1;-1")
        and (images / row["subDirectory_filePath"]).is_file()
    ]
    return [usable[index] for index in np.random.default_rng(0).permutation(len(usable))]


def _enlarge(row: dict[str, str], raw_images: Path, images: Path) -> dict[str, str]:
    pixels = to_rgb(decode_image((raw_images / row["subDirectory_filePath"]).read_bytes()))
    factor = SIDE / max(pixels.shape[:2])
    large = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    grain = cv2.randn(np.empty(large.shape[:2], dtype=np.int16), 0, GRAIN)
    large = np.clip(large + grain[..., None], 0, 255).astype(np.uint8)
    path = images / row["subDirectory_filePath"]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_jpeg(large, 90))
    boxed = {
        name: str(round(float(row[name]) * factor))
        for name in ("face_x", "face_y", "face_width", "face_height")
    }
    points = ";".join(f"{float(value) * factor:.2f}" for value in row["facial_landmarks"].split(";"))
    return {**row, **boxed, "facial_landmarks": points}
