"""Counts of what is predicted and what is not."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mien.predict.options import PredictOptions
from mien.predict.stage import run_predict


@pytest.mark.parametrize("workers", [None, 1], ids=["here", "in a worker"])
def test_further_images_of_a_file_are_counted(
    model_path: Path, make_image: Callable[..., Path], tmp_path: Path, workers: int | None
) -> None:
    """The first page of a TIFF is predicted, and the last line says how many are not."""
    first = Image.open(make_image("a.png"))
    first.save(tmp_path / "pages.tiff", save_all=True, append_images=[first, first])
    (tmp_path / "notes.txt").write_text("")
    options = PredictOptions(out=tmp_path / "rows.csv", workers=workers, crop="whole")
    summary = run_predict([tmp_path], model_path, options=options, stream=io.StringIO())
    assert str(summary) == "2 faces in 2 images. Not read: 2 further images of files with several, 1 .txt"
