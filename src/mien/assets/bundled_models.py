"""The models that ship with the package, each with its model card, looked up by name.

A model is given as its name, as the path of a file that `mien export` wrote, or as its address on the Hugging Face Hub
(`mien.assets.hub`); `DEFAULT_MODEL` is used if none is given.
"""

import os
import re
from difflib import get_close_matches
from pathlib import Path

from mien.artifacts import require_sha256
from mien.assets import DEFAULT_MODEL
from mien.assets.hub import CARD_FILE, cached_repo, fetch_model, is_hub_address
from mien.errors import ArtifactError

# The metadata that the Hub reads, at the start of a card.
FRONT_MATTER = re.compile(r"\A---\r?\n.*?^---\r?\n\s*", re.DOTALL | re.MULTILINE)
FOLDER = Path(__file__).parent / "models"
# Detects a damaged installation, even for a model file from before these files contained their own hash.
SHA256 = {
    "mien-base": "86f2ce354b7dbfbef192c54898f6c6bd2bbcfd4edd34e3133189981491795936",
    "mien-nano": "406ce66034099c763e193c0cdce513752bc4624529c85bed173a5566271cbcf5",
    "ferplus-resnet10-int8": "c3efbbf7b4b0ccd95d522cd58dc6ea58eefe3dc75e340a86ea2099de518d9259",
}


def model_names() -> tuple[str, ...]:
    """Return the names of the bundled models, the default first."""
    return tuple(sorted(SHA256, key=lambda name: (name != DEFAULT_MODEL, name)))


def bundled_name(model: str) -> str | None:
    """Return the name of a bundled model, which may be given without `mien-`, or None.

    >>> bundled_name("base"), bundled_name("mien-base"), bundled_name("huge")
    ('mien-base', 'mien-base', None)
    """
    return next((name for name in (model, f"mien-{model}") if name in SHA256), None)


def find_model(model: str | Path | None = None) -> Path:
    """Return the file of a model.

    Args:
        model: a name from `model_names`, a path, an address such as ``hf://org/name``, or None for the default. An
            existing file takes precedence over a name.

    Raises:
        ArtifactError: it is none of them, a bundled file has been modified, or the file cannot be fetched.
        MissingExtraError: it has an address, and huggingface_hub is not installed.
    """
    if model is None:
        return _verified_file(DEFAULT_MODEL)
    if not isinstance(model, str | os.PathLike):
        raise TypeError(f"a model is a name, a path or an address, got {type(model).__name__}")
    if not str(model).strip():
        raise ArtifactError(
            "The name of the model is empty. Leave it out for the default model, or give a name or a file"
        )
    if is_hub_address(model):
        return fetch_model(str(model))
    path = Path(model)
    # Not `Path.is_file`, which raises for names that are too long.
    if os.path.isfile(path):  # noqa: PTH113
        return path
    name = bundled_name(str(model))
    if name is not None:
        return _verified_file(name)
    near = get_close_matches(str(model), model_names(), n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    problem = "is a folder, not a model" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
    raise ArtifactError(
        f"Model {model} {problem}.{hint} Bundled models: {', '.join(model_names())}; or give a file written by "
        f"`mien export RUN --out {path.stem or 'model'}.onnx`"
    )


def _verified_file(name: str) -> Path:
    path = FOLDER / f"{name}.onnx"
    require_sha256(path, SHA256[name], record="this release", advice="Install mien again")
    return path


def model_name(path: Path) -> str:
    """Return the display name of a model: its file name without the suffix, or ``org/name`` if it is from the Hub."""
    return cached_repo(path) or path.stem


def read_card(path: Path) -> str:
    """Return the Markdown model card of a model file, or an empty string if there is none.

    It is the file of the same name that ends in ``.md``, or the Hub's README.md, without its metadata.
    """
    card = path.parent / CARD_FILE if cached_repo(path) else path.with_suffix(".md")
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return FRONT_MATTER.sub("", text, count=1)
