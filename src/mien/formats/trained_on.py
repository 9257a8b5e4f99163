"""Whether a model was trained on the faces of a pack, as far as its file says."""

from typing import Any

from mien.formats.onnx_model import ModelInfo
from mien.formats.pack import PackInfo
from mien.runtime.nested import find_dict


def may_have_seen(model: ModelInfo, pack: PackInfo, split: str) -> bool:
    """Return whether the model may have been trained on faces of this split, according to its file.

    Training on the same pack excludes near-duplicates of its other splits, unless the recipe's ``data.exclude_leaks``
    is off.
    """
    if not was_trained_on(model, pack):
        return False
    excludes_leaks = find_dict(model.training, "recipe", "data").get("exclude_leaks") is True
    return split == "train" or not excludes_leaks


def may_know_persons(model: ModelInfo, pack: PackInfo, split: str) -> bool:
    """Return whether the model may have been trained on persons and clips of this split, according to its file."""
    excludes_persons = find_dict(model.training, "recipe", "data").get("exclude_shared_persons") is True
    return was_trained_on(model, pack) and split != "train" and not excludes_persons


def was_trained_on(model: ModelInfo, pack: PackInfo) -> bool:
    """Return whether the model was trained on the pack, according to its file."""
    trained_on = find_dict(model.training, "pack")
    return pack.content_sha256 in (trained_on.get("content_sha256"), *trained_on.get("members", ()))


def source_names(pack: dict[str, Any]) -> list[str]:
    """Return the kinds of sets in a model's or run's record of its packs; [""] if it names none."""
    return str(pack.get("source") or "").split(" + ")
