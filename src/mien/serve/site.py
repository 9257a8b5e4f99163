"""The page's files: what the server gives a browser, and what `mien page` writes for any other server of files."""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mien.artifacts import new_folder, write_json
from mien.bundle import Bundle
from mien.errors import ArtifactError
from mien.faces.detector import YUNET_NAME, find_detector_file
from mien.zoo import find_model, model_name, read_card

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
MODEL_JSON = "model.json"
MODEL_FILE = "models/model.onnx"
DETECTOR_FILE = "models/detector.onnx"
NO_PAGE = "The page's files are not part of this installation: install a release of mien, or build the page"


def describe_model(bundle: Bundle) -> dict[str, Any]:
    """Return what a model file says of itself, with its name and its Markdown card, as plain values for JSON."""
    return {"name": model_name(bundle.path), "card": read_card(bundle.path), **asdict(bundle.info)}


def write_page(
    out: Path,
    model: str | Path | None = None,
    *,
    detector: Path | None = None,
    force: bool = False,
    announce: Callable[[str], None] | None = None,
) -> int:
    """Write the page as a folder of files for any web server, with the model and the detector in it.

    Where the detector's file cannot be had, the page is written without it; it then says what is missing.

    Args:
        out: the folder to make.
        model: the name of a model in the box, a file that `mien export` wrote, or None for the default.
        detector: YuNet's file, or None to look where `mien.faces.detector` says.
        force: replace such a folder.
        announce: is told, in one line each, of a download and that there is no detector.

    Returns:
        How many files it has.

    Raises:
        ArtifactError: there is no such model, the page's files are missing, or the folder is in the way.
        SourceError: a detector's file that was named does not exist.
    """
    bundle = Bundle.load(find_model(model))
    if not (STATIC / INDEX).is_file():
        raise ArtifactError(NO_PAGE)
    detector_file = find_detector_file(
        detector,
        announce=announce,
        otherwise=f"the page is written without it and finds no face until {YUNET_NAME} is put at "
        f"{out / DETECTOR_FILE}, or the page is written again with it",
    )
    with new_folder(out, force=force, kind_mark=MODEL_JSON) as folder:
        # not by copytree, which tells of a full disk in words alone
        for path in sorted(STATIC.rglob("*")):
            copy = folder / path.relative_to(STATIC)
            if path.is_dir():
                copy.mkdir()
            else:
                shutil.copyfile(path, copy)
        (folder / MODEL_FILE).parent.mkdir(exist_ok=True)
        shutil.copyfile(bundle.path, folder / MODEL_FILE)
        if detector_file is not None:
            shutil.copyfile(detector_file, folder / DETECTOR_FILE)
        write_json(folder / MODEL_JSON, describe_model(bundle))
    return sum(path.is_file() for path in out.rglob("*"))
