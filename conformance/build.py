"""Write the conformance kit: one archive of inputs, expected outputs and tolerances, by which any port can prove itself.

    python conformance/build.py --out build/mien-conformance.zip

The kit is made of files of this repository alone, uncompressed and with fixed dates, so that every machine writes the
same bytes. docs/conformance.md describes what is in it.
"""

import argparse
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.artifacts import new_file
from mien.faces.detector_file import YUNET_NAME, YUNET_SHA256, YUNET_URL

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
FORMAT_VERSION = 1
# Of every part, what a correct port stays within. docs/conformance.md says where the differences come from.
TOLERANCES: dict[str, dict[str, float]] = {
    "crops": {"mean_difference": 1.0},
    "predictions": {"probability": 0.02, "landmark": 0.01, "valence_arousal": 0.02},
    "priors": {"probability": 1e-4},
    "detections": {"iou": 0.97, "point": 0.02, "score": 0.02},
    "faces": {"iou": 0.97, "probability": 0.05, "landmark": 0.02, "valence_arousal": 0.05},
}
# The oldest date that a ZIP archive can hold.
DATE = (1980, 1, 1, 0, 0, 0)


def kit_files() -> dict[str, bytes]:
    """Return the content of every file of the kit by name, in the order of the archive.

    Raises:
        ValueError: the golden files were made with another model.
    """
    golden = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))
    model = (ROOT / golden["model"]).read_bytes()
    if hashlib.sha256(model).hexdigest() != golden["model_sha256"]:
        raise ValueError(f"{golden['model']} is not the model of tests/golden: run tests/golden/make.py")
    image_rgb = _read_rgb(GOLDEN / "image.png")
    crops = {case["name"]: _read_rgb(GOLDEN / "crops" / f"{case['name']}.png") for case in golden["crops"]}
    first = golden["readings"][0]
    index: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "image": {"file": "image.rgb", "size_wh": [image_rgb.shape[1], image_rgb.shape[0]]},
        "model": {
            "file": "model.onnx",
            "sha256": golden["model_sha256"],
            "classes": golden["classes"],
            "class_fractions": golden["class_fractions"],
            "crop": first["crop"],
            "input_size": first["input_size"],
        },
        "detector": {"name": YUNET_NAME, "sha256": YUNET_SHA256, "url": YUNET_URL},
        "tolerances": TOLERANCES,
        "crops": [{**case, "file": f"crops/{case['name']}.rgb"} for case in golden["crops"]],
        "predictions": golden["readings"],
        "priors": golden["priors"],
        "detections": golden["detected"],
        "faces": golden["faces"],
    }
    files = {
        "conformance.json": (json.dumps(index, indent=1) + "\n").encode(),
        "check.py": (Path(__file__).parent / "check.py").read_bytes(),
        "README.md": (ROOT / "docs" / "conformance.md").read_bytes(),
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        "image.png": (GOLDEN / "image.png").read_bytes(),
        "image.rgb": image_rgb.tobytes(),
        "model.onnx": model,
    }
    return files | {f"crops/{name}.rgb": crop.tobytes() for name, crop in crops.items()}


def _read_rgb(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def build_kit(out: Path) -> None:
    """Write the archive, replacing an earlier one."""
    with new_file(out) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in kit_files().items():
            entry = zipfile.ZipInfo(f"mien-conformance/{name}", DATE)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content)


def main() -> None:
    """Write the kit and print its size and hash."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mien-conformance.zip")
    out: Path = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    build_kit(out)
    content = out.read_bytes()
    print(f"{out}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
