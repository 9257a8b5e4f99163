"""Rows that cannot become a face are in rejects.csv, with reason and remedy; copies across splits are found."""

import csv
import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.datasets.base import REMEDIES
from mien.datasets.registry import DatasetOptions
from mien.formats.pack import Pack
from mien.formats.pack.leaks import find_leaks
from mien.prepare.closing import PrepareSummary
from mien.prepare.options import ALLOWANCES, PrepareOptions
from mien.prepare.stage import prepare

OUTSIDE = "outside.jpg"

# Name of the row, its reason, and the class that it claims.
EXPECTED = {
    "missing.jpg": ("missing_file", "Happy"),
    "": ("missing_file", "Happy"),
    "folder.jpg": ("missing_file", "Happy"),
    "pipe.jpg": ("not_a_file", "Happy"),
    "empty.jpg": ("empty_file", "Happy"),
    "half.jpg": ("truncated_image", "Fear"),
    "closed half.jpg": ("truncated_image", "Happy"),
    "half.png": ("truncated_image", "Happy"),
    "text.jpg": ("not_an_image", "Happy"),
    "page.jpg": ("not_an_image", "Happy"),
    "header bomb.png": ("image_too_large", "Happy"),
    "header bomb.jpg": ("image_too_large", "Happy"),
    "pixel bomb.jpg": ("image_too_large", "Happy"),
    "label 11.jpg": ("unknown_label", "?"),
    "label -1.jpg": ("unknown_label", "?"),
    "label x.jpg": ("unknown_label", "?"),
    "label .jpg": ("unknown_label", "?"),
    "label 1.5.jpg": ("unknown_label", "?"),
    "../" + OUTSIDE: ("path_outside", "Happy"),
    "deep/../../" + OUTSIDE: ("path_outside", "Happy"),
    "<absolute>": ("path_outside", "Happy"),
    "link.jpg": ("path_outside", "Happy"),
    "linked folder/a.jpg": ("path_outside", "Happy"),
    "box right.jpg": ("box_outside", "Happy"),
    "box below.jpg": ("box_outside", "Happy"),
    "box left.jpg": ("box_outside", "Happy"),
    "box touching.jpg": ("box_outside", "Happy"),
}


def bomb_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(99))),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def fill_with_bad_rows(raw: Any, tools: Any) -> None:
    """Put every kind of bad row between good ones."""
    jpeg, png = tools.encode(tools.draw_image()), tools.encode(tools.draw_image(), "PNG")
    frame = jpeg.index(b"\xff\xc0")
    bad_jpeg = jpeg[: frame + 5] + struct.pack(">HH", 50_000, 60_000) + jpeg[frame + 9 :]
    outside = raw.put("../" + OUTSIDE, jpeg)
    (raw.images / "folder.jpg").mkdir()
    os.mkfifo(raw.images / "pipe.jpg")
    (raw.images / "link.jpg").symlink_to(outside)
    raw.put("../elsewhere/a.jpg", jpeg)
    (raw.images / "linked folder").symlink_to(raw.root / "elsewhere")
    raw.put("pixel bomb.jpg", b"")
    Image.new("1", (7100, 7100)).save(raw.images / "pixel bomb.jpg", "PNG")
    data = {
        "empty.jpg": b"",
        "half.jpg": jpeg[: len(jpeg) // 2],
        "closed half.jpg": jpeg[: len(jpeg) // 2] + b"\xff\xd9",
        "half.png": png[: len(png) // 2],
        "text.jpg": b"not an image",
        "page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "header bomb.png": bomb_header(60_000, 60_000),
        "header bomb.jpg": bad_jpeg,
    }
    boxes = {
        "box right.jpg": (121, 10, 20, 20),
        "box below.jpg": (10, 400, 20, 20),
        "box left.jpg": (-30, 10, 20, 20),
        "box touching.jpg": (120, 10, 20, 20),
    }
    raw.add("good 1.jpg", jpeg)
    for name in EXPECTED:
        label = name.removeprefix("label ").removesuffix(".jpg") if name.startswith("label") else 1
        has_file = name.startswith(("label", "box"))
        raw.add(
            str(outside) if name == "<absolute>" else name,
            data.get(name, jpeg if has_file else None),
            expression=4 if name == "half.jpg" else label,
            box=boxes.get(name, tools.box),
        )
    raw.add("good 2.jpg", jpeg, split="validation")
    raw.add("gone.jpg", split="validation", expression=10)


@dataclass(frozen=True)
class Outcome:
    """The result of a run over the bad set."""

    out: Path
    summary: PrepareSummary
    rejects: list[dict[str, str]]
    raw_changed: bool


@pytest.fixture(scope="module")
def outcome(shared_raw_set: Any, tools: Any, hash_tree: Callable[[Path], str]) -> Outcome:
    """Prepare the set of bad rows once."""
    fill_with_bad_rows(shared_raw_set, tools)
    raw = shared_raw_set.write()
    before = hash_tree(raw)
    out = raw.parent / "bad.pack"
    summary = prepare("affectnet", raw, out, PrepareOptions(size=32, workers=1, allow=ALLOWANCES))
    with (out / "rejects.csv").open(newline="", encoding="utf-8") as file:
        rejects = list(csv.DictReader(file))
    return Outcome(out, summary, rejects, hash_tree(raw) != before)


@pytest.mark.parametrize("name", EXPECTED)
def test_bad_row_is_rejected(outcome: Outcome, name: str) -> None:
    """The row is rejected for its reason, counted for the class it claims, and has a remedy."""
    reason, label = EXPECTED[name]
    row = outcome.rejects[list(EXPECTED).index(name)]
    assert row["path"].endswith(OUTSIDE) if name == "<absolute>" else row["path"] == name
    assert (row["reason"], row["label"], row["split"]) == (reason, label, "train")
    assert row["row"] == str(list(EXPECTED).index(name) + 2)
    assert row["remedy"] == REMEDIES[reason]
    assert row["detail"]


def test_every_row_is_accounted_for(outcome: Outcome) -> None:
    """Kept and rejected rows add up to the rows of the lists, in total, by class and by reason."""
    info = outcome.summary.info
    assert (info.n_rows, info.n_kept, info.n_rejected) == (len(EXPECTED) + 3, 2, len(EXPECTED) + 1)
    assert len(outcome.rejects) == info.n_rejected
    assert info.rejected["train"] == Counter(label for _, label in EXPECTED.values())
    assert info.rejected["val"] == {"NonFace": 1}
    reasons = Counter(reason for reason, _ in EXPECTED.values()) + Counter(["missing_file"])
    assert info.rejected_by_reason == reasons
    assert (info.counts["train"]["Happy"], info.counts["val"]["Happy"]) == (1, 1)


def test_summary_says_so(outcome: Outcome) -> None:
    """The text adds up too, by class and by reason, and names the unknown ones."""
    lines = str(outcome.summary).splitlines()
    assert lines[0] == f"{len(EXPECTED) + 3} rows read = 2 faces kept + {len(EXPECTED) + 1} rejected"
    table = {line.split()[0]: line.split()[1:] for line in lines if line.split()[1:2] and line[0].isalpha()}
    assert table["Happy"] == ["1", "21", "1", "0"]
    assert table["NonFace"] == ["0", "0", "0", "1"]
    assert next(line for line in lines if line.startswith("?")).split() == ["?", "0", "5", "0", "0"]
    assert table["total"] == ["1", "27", "1", "1"]
    assert "rejected, box_outside: 4" in lines


def test_columns_of_rejects(outcome: Outcome) -> None:
    """rejects.csv has the columns that the formats page promises."""
    assert list(outcome.rejects[0]) == ["split", "row", "path", "label", "reason", "detail", "remedy"]


def test_raw_set_is_untouched(outcome: Outcome) -> None:
    """Not a byte, name, mode or time in the raw dataset changed."""
    assert not outcome.raw_changed


def test_good_rows_stay_good(outcome: Outcome) -> None:
    """The faces between the bad rows are there, and no progress files are left behind."""
    pack = Pack.open(outcome.out)
    assert [pack.split(split).keys for split in pack.splits] == [["good 1.jpg"], ["good 2.jpg"]]
    names = {path.name for path in outcome.out.iterdir()}
    assert names == {"groups.arrow", "pack.json", "rejects.csv", "train-00000.arrow", "val-00000.arrow"}
    assert np.array_equal(pack.split("train").image(0), pack.split("val").image(0))


def test_mirrored_copies_are_leaks(tmp_path: Path, tools: Any) -> None:
    """Mirrored copies of test faces in train are found, and no face that is only in train; the summary counts both."""
    for number in range(12):
        pixels = tools.draw_photo(number, 128, 128)
        split = "test" if number % 3 == 0 else "train"
        folder = tmp_path / "raw" / split / ("happy", "sad")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(tools.encode(pixels))
        if split == "test":
            copy = tmp_path / "raw" / "train" / folder.name / f"mirrored {number}.jpg"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(tools.encode(np.ascontiguousarray(pixels[:, ::-1]), quality=60))
    options = PrepareOptions(size=96, workers=1, dataset=DatasetOptions(val_fraction=0.0))
    summary = prepare("folder", tmp_path / "raw", tmp_path / "my.pack", options)
    pack = Pack.open(tmp_path / "my.pack")
    _, leaks = find_leaks([pack])
    keys = pack.split("train").keys
    assert [key for key, leak in zip(keys, leaks, strict=True) if leak] == [
        k for k in keys if "mirrored" in k
    ]
    assert "8 faces are in more than one split" in str(summary)
