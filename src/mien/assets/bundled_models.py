"""The models that ship with the package, each with its model card, looked up by name.

A model is given as its name or as the path of a file that `mien export` wrote; `DEFAULT_MODEL` is used if none is
given.
"""

from difflib import get_close_matches
from pathlib import Path

from mien.artifacts import require_sha256
from mien.errors import ArtifactError

FOLDER = Path(__file__).parent / "models"
DEFAULT_MODEL = "ferplus-resnet10-int8"
# Detects a damaged installation, even for a model file from before these files contained their own hash.
SHA256 = {
    "ferplus-resnet10-int8": "c3efbbf7b4b0ccd95d522cd58dc6ea58eefe3dc75e340a86ea2099de518d9259",
}


def model_names() -> tuple[str, ...]:
    """Return the names of the bundled models, the default first."""
    return tuple(sorted(SHA256, key=lambda name: (name != DEFAULT_MODEL, name)))


def find_model(model: str | Path | None = None) -> Path:
    """Return the file of a model.

    Args:
        model: a name from `model_names`, a path, or None for the default. An existing file takes precedence over a
            name.

    Raises:
        ArtifactError: it is neither, or a bundled file has been modified.
    """
    if model is None:
        return _verified_file(DEFAULT_MODEL)
    path = Path(model)
    if path.is_file():
        return path
    if str(model) in model_names():
        return _verified_file(str(model))
    near = get_close_matches(str(model), model_names(), n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    problem = "is a folder, not a model" if path.is_dir() else "does not exist"
    raise ArtifactError(
        f"Model {model} {problem}.{hint} Bundled models: {', '.join(model_names())}; or give a file written by "
        f"`mien export RUN --out {path.stem or 'model'}.onnx`"
    )


def _verified_file(name: str) -> Path:
    path = FOLDER / f"{name}.onnx"
    require_sha256(path, SHA256[name], record="this release", advice="Install mien again")
    return path


def model_name(path: Path) -> str:
    """Return the display name of a model: its file name without the suffix."""
    return path.stem


def read_card(path: Path) -> str:
    """Return the Markdown model card next to a model file, or an empty string if there is none."""
    card = path.with_suffix(".md")
    return card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
