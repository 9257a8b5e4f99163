"""The stage `cite`: reads a model file's metadata and lists references for it."""

from pathlib import Path
from typing import Any

import mien
from mien.assets.bundled_models import find_model
from mien.cite.references import (
    ALWAYS_METHODS,
    ALWAYS_SOFTWARE,
    BACKBONES,
    METHODS,
    find_data,
    read_references,
)
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.formats.recipe_keys import rename_keys
from mien.formats.trained_on import source_names
from mien.runtime.nested import find_dict, flatten

YEAR = 2026
SOFTWARE = """\
@misc{{mien,
  author = {{{{The mien developers}}}},
  title = {{mien: facial-expression recognition from a labeled face set to one {{ONNX}} file}},
  note = {{Version {version}}},
  year = {{{year}}}
}}"""


def cite(model: str | Path | None = None) -> str:
    """Return what to cite for a model file as BibTeX: the data, the recipe's methods, and the software.

    The comments between the entries say what each is for, and what no reference is known for. They contain no ``@``,
    which BibTeX would take for an entry.

    Args:
        model: a file written by `mien export`, the name of a bundled model, or None for the default one.

    Raises:
        ArtifactError: it is not a model file.
        ModelError: its outputs do not match its metadata.
    """
    path = find_model(model)
    info = OnnxModel.load(path, threads=1).info
    entries, lines, cited = read_references(), [f"% What to cite for {path.name}."], set[str]()
    software: tuple[str, list[str], tuple[str, ...]] = (
        "Software: backbones (timm), the face detector (YuNet), mien",
        [],
        ALWAYS_SOFTWARE,
    )
    for title, notes, keys in (data_references(info.training), recipe_references(info), software):
        lines += ["", f"% {title}", *(f"% {note}" for note in notes)]
        for key in keys:
            if key not in cited:
                lines += ["", entries[key]]
            cited.add(key)
    lines += ["", SOFTWARE.format(version=mien.__version__, year=YEAR)]
    return "\n".join(
        " ".join(line.split()).replace("@", " at ") if line[:1] == "%" else line for line in lines
    )


def data_references(training: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    """Return the heading, the notes and the entries for the data."""
    pack = find_dict(training, "pack")
    names = [*source_names(pack), *find_dict(pack, "terms")]
    # Sets that were merged in one pack are joined without spaces.
    names = list(dict.fromkeys(part for name in names for part in name.split("+") if part))
    notes: list[str] = []
    keys: list[str] = []
    if isinstance(pack.get("n_train"), int) and isinstance(pack.get("n_dev"), int):
        notes.append(
            f"trained on {pack['n_train']:,} faces; {training.get('selection') or 'selection unknown'}"
        )
    for name in names:
        found = find_data(name)
        keys += found or ()
        if found is None:
            notes.append(f"{name}: no reference is known, cite what its authors ask for")
    if not names:
        notes.append("the file does not say what it was trained on")
    weights = find_dict(training, "recipe", "model").get("weights")
    if weights:
        notes.append(f"training started from {weights}: cite what that was trained on, too")
    return f"Data: {', '.join(names) or 'unknown'}", notes, keys


def recipe_references(info: ModelInfo) -> tuple[str, list[str], list[str]]:
    """Return the heading, the notes and the entries for the network and the methods of its training."""
    recipe = flatten(rename_keys(find_dict(info.training, "recipe")))
    backbone = str(info.training.get("backbone") or recipe.get("model.backbone") or "")
    families = [family for family in BACKBONES if backbone.startswith(family)]
    notes, keys = [], [BACKBONES[max(families, key=len)]] if families else []
    if backbone and not families:
        notes.append(f"{backbone}: see timm's page on it for its paper")
    if recipe.get("model.pretrained"):
        notes.append(f"started from timm's weights of {backbone}: their page names the data and the paper")
    keys += [key for name, unused, key in METHODS if name in recipe and recipe[name] not in unused]
    title = f"Recipe: {backbone or 'unknown network'} at {info.input_size} px, tasks {', '.join(info.tasks)}"
    return title, notes, [*keys, *ALWAYS_METHODS]
