"""Copies of test faces in train, mirrored and saved anew, are seen."""

from pathlib import Path
from typing import Any

import numpy as np

from mien.pack import Pack
from mien.pack.leaks import find_leaks
from mien.prepare import PrepareOptions, prepare
from mien.sources.opening import SourceOptions


def test_mirrored_copies_are_leaks(tmp_path: Path, tools: Any) -> None:
    """Each of them, and no face that stands in train alone; the summary counts both sides."""
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
    options = PrepareOptions(size=96, workers=1, source=SourceOptions(val_fraction=0.0))
    summary = prepare("folder", tmp_path / "raw", tmp_path / "my.pack", options)
    pack = Pack.open(tmp_path / "my.pack")
    _, leaks = find_leaks([pack])
    keys = pack.split("train").keys
    assert [key for key, leak in zip(keys, leaks, strict=True) if leak] == [
        k for k in keys if "mirrored" in k
    ]
    assert "8 faces stand in more than one split" in str(summary)
