"""The annotations, as a type checker of a user reads them."""

from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="needs a type checker")

from mypy import api

USE = """
from pathlib import Path
import io
import numpy as np
from PIL import Image
import mien

model = mien.load()
pixels = np.zeros((4, 4, 3), np.uint8)
image: mien.ImagePrediction = model.predict(pixels)
image = model.predict(io.BytesIO(b""))
image = model.predict(Image.new("RGB", (3, 3)))
image = model.predict(Path("a.jpg"))
images: list[mien.ImagePrediction] = model.predict([pixels for _ in range(3)])
images = model.predict(["a.jpg", "b.jpg"])
images = model.predict((Path("a.jpg"), Path("b.jpg")))
with open("a.jpg", "rb") as file:
    image = model.predict(file)
"""
WRONG = (
    "model.predict(None)",
    "model.predict(3)",
    "images = model.predict('a.jpg')",
    "model.explain([pixels])",
)


@pytest.mark.slow
def test_what_predict_takes_and_returns(tmp_path: Path) -> None:
    """Everything that is documented passes, and what is no image does not."""
    file = tmp_path / "use.py"
    file.write_text(f"{USE}{chr(10).join(WRONG)}\n")
    first_wrong = USE.count("\n") + 1
    found, problems, _ = api.run([str(file), "--no-error-summary", "--cache-dir", str(tmp_path / "cache")])
    assert not problems
    lines = {int(line.split(":")[1]) for line in found.splitlines() if ": error: " in line}
    assert lines == set(range(first_wrong, first_wrong + len(WRONG))), found
