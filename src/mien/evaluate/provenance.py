"""What was evaluated on what, and what a reader must be warned of."""

from dataclasses import dataclass
from typing import Any

from mien.faces.crop import CropContract
from mien.formats.onnx_model import ModelInfo
from mien.formats.pack import PackInfo


@dataclass(frozen=True, slots=True)
class Provenance:
    """A model file and the faces it was run over.

    Attributes:
        model_name: the file's name.
        model_sha256: the file's hash.
        model: what the file says of itself.
        pack_name: the pack folder's name.
        pack: what the pack says of itself.
        split: of the pack.
        n_faces: in that split.
        n_also_trained_on: of them, how many stand, as they are or nearly so, in the split trained on.
    """

    model_name: str
    model_sha256: str
    model: ModelInfo
    pack_name: str
    pack: PackInfo
    split: str
    n_faces: int
    n_also_trained_on: int

    @property
    def selection(self) -> str | None:
        """How the checkpoint was chosen, as the model file tells it; None where it does not."""
        rule = self.model.training.get("selection")
        return str(rule) if rule else None

    def warnings(self) -> tuple[str, ...]:
        """Return what makes the figures other than a reader would expect, a sentence or two each."""
        found = (self._warn_of_seen_faces(), self._warn_of_crop(), self._warn_of_classes())
        return tuple(warning for warning in found if warning)

    def _warn_of_seen_faces(self) -> str | None:
        if not self.n_also_trained_on:
            return None
        if self.n_also_trained_on == self.n_faces:
            return (
                "These are the very faces that the model was trained on: the figures say how well it remembers "
                "them, not how good it is. Evaluate the split val"
            )
        return (
            f"{self.n_also_trained_on:,} of the {self.n_faces:,} faces stand, as they are or nearly so, among "
            "those that the model was trained on"
        )

    def _warn_of_crop(self) -> str | None:
        if self.model.crop == self.pack.crop:
            return None
        return (
            f"The model was trained on {describe_crop(self.model.crop)}, this pack has "
            f"{describe_crop(self.pack.crop)}. Another crop costs a model points: prepare the set with the "
            "model's crop before judging it"
        )

    def _warn_of_classes(self) -> str | None:
        counts = self.pack.counts.get(self.split, {})
        unknown = {name: counts[name] for name in counts if counts[name] and name not in self.model.classes}
        if not unknown:
            return None
        named = ", ".join(f"{name} ({count:,})" for name, count in unknown.items())
        return f"Faces of classes that the model does not know are left out of every figure: {named}"


def may_have_seen(model: ModelInfo, pack: PackInfo, split: str) -> bool:
    """Return whether the model may have been trained on faces of this split, as far as its file tells.

    Training on the same pack leaves the near-duplicates of its other splits out, unless the recipe's
    ``data.exclude_leaks`` says otherwise.
    """
    trained_on = _entry(model.training, "pack")
    if pack.content_sha256 not in (trained_on.get("content_sha256"), *trained_on.get("members", ())):
        return False
    leaks_left_out = _entry(_entry(model.training, "recipe"), "data").get("exclude_leaks") is True
    return split == "train" or not leaks_left_out


def _entry(record: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a part of what a model file records, which may have been written by anyone."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def describe_crop(crop: CropContract) -> str:
    """Return a crop contract in words."""
    margin = "" if crop.method == "whole" else f" with margin {crop.margin:g}"
    return f"{crop.method} crops of {crop.size} px{margin}"
