"""The page's files: what the server sends to a browser, and what `mien page` writes for any static web server."""

import gzip
import shutil
from pathlib import Path
from typing import Any

from mien.artifacts import new_folder, write_json
from mien.assets.bundled_models import find_model, model_name, read_card
from mien.errors import ArtifactError, ModelError
from mien.faces.detector_file import YUNET_NAME, find_detector_file
from mien.formats.class_fractions import read_class_fractions
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.label_sets import CoverageOptions, LabelSets

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
MODEL_JSON = "model.json"
MODEL_FILE = "models/model.onnx"
DETECTOR_FILE = "models/detector.onnx"
NO_PAGE = "The page's files are missing from this installation: install a release of mien, or build the page"


def describe_model(model: OnnxModel, label_sets: LabelSets | None = None) -> dict[str, Any]:
    """Return a model's metadata, with its name, Markdown card, class fractions and sets, as plain values for JSON."""
    try:
        fractions = read_class_fractions(model.info).tolist()
    except ModelError:
        fractions = None
    return {
        "name": model_name(model.path),
        "card": read_card(model.path),
        "class_fractions": fractions,
        "label_sets": None if label_sets is None else label_sets.to_dict(),
        **model.info.to_dict(),
    }


def write_page(
    out: Path,
    model: str | Path | None = None,
    *,
    detector: Path | None = None,
    sets: CoverageOptions | None = None,
    force: bool = False,
) -> int:
    """Write the page as a folder for any static web server, including the model and the detector.

    If the detector's file is unavailable, the page is written without it and reports that it is missing.

    Args:
        out: folder to create.
        model: name of a bundled model, a file written by `mien export`, or None for the default.
        detector: YuNet's file, or None for the search path of `mien.faces.detector_file`.
        sets: whether faces of images get a set of classes; None for no.
        force: replace an existing page.

    Returns:
        Number of files written.

    Raises:
        ArtifactError: the model does not exist, the report for prediction sets is not on it, the page's files are missing, or the folder is in the way.
        SourceError: the given detector file does not exist.
    """
    onnx_model = OnnxModel.load(find_model(model))
    label_sets = None if sets is None else sets.add_to(DecisionRule(), onnx_model).label_sets
    if not (STATIC / INDEX).is_file():
        raise ArtifactError(NO_PAGE)
    detector_file = find_detector_file(
        detector,
        fallback=f"the page is written without it and cannot detect faces until {YUNET_NAME} is placed at "
        f"{out / DETECTOR_FILE}, or the page is written again with it",
    )
    with new_folder(out, force=force, kind_mark=MODEL_JSON) as folder:
        # Not copytree, which reports a full disk only as text.
        for path in sorted(STATIC.rglob("*")):
            target = folder / path.relative_to(STATIC)
            if path.is_dir():
                target.mkdir()
            else:
                shutil.copyfile(path, target)
                if path.suffix == ".gz" and not path.with_suffix("").exists():
                    target.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        (folder / MODEL_FILE).parent.mkdir(exist_ok=True)
        shutil.copyfile(onnx_model.path, folder / MODEL_FILE)
        if detector_file is not None:
            shutil.copyfile(detector_file, folder / DETECTOR_FILE)
        write_json(folder / MODEL_JSON, describe_model(onnx_model, label_sets))
    return sum(path.is_file() for path in out.rglob("*"))
