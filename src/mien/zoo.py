"""The models in the box: files that the package carries, each with its card, by name.

A model is asked for by its name or by the path of a file that `mien export` wrote; `DEFAULT_MODEL` is taken where none
is named.
"""

from difflib import get_close_matches
from pathlib import Path

from mien.artifacts import require_sha256
from mien.errors import ArtifactError

FOLDER = Path(__file__).parent / "models"
DEFAULT_MODEL = "ferplus-resnet10-int8"
# Of the bundled files: a damaged installation is told, also for a file that was made before files held their hash.
SHA256 = {
    "ferplus-resnet10-int8": "d102666e453244446983dd7deca7e67e1f490c8b87a9007d331e613aed385f0c",
}


def model_names() -> tuple[str, ...]:
    """Return the names of the models in the box, the default first."""
    return tuple(sorted(SHA256, key=lambda name: (name != DEFAULT_MODEL, name)))


def find_model(model: str | Path | None = None) -> Path:
    """Return the file of a model.

    Args:
        model: a name of `model_names`, a path, or None for the default. A file that exists goes before a name.

    Raises:
        ArtifactError: there is neither, or a bundled file is not the one that was shipped.
    """
    if model is None:
        return _bundled(DEFAULT_MODEL)
    path = Path(model)
    if path.is_file():
        return path
    if str(model) in model_names():
        return _bundled(str(model))
    near = get_close_matches(str(model), model_names(), n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    what = "is a folder, no model" if path.is_dir() else "does not exist"
    raise ArtifactError(
        f"Model {model} {what}.{hint} In the box: {', '.join(model_names())}; or name a file that "
        f"`mien export RUN --out {path.stem or 'model'}.onnx` wrote"
    )


def _bundled(name: str) -> Path:
    path = FOLDER / f"{name}.onnx"
    require_sha256(path, SHA256[name], record="this release", advice="Install mien again")
    return path


def model_name(path: Path) -> str:
    """Return what a model is called: the name of a file without its suffix."""
    return path.stem


def read_card(path: Path) -> str:
    """Return the Markdown card that lies beside a model's file, empty where there is none."""
    card = path.with_suffix(".md")
    return card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
