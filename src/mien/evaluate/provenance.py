"""What was evaluated on what, and what readers of the metrics must be warned of."""

from dataclasses import dataclass

from mien.formats.onnx_model import ModelInfo
from mien.formats.pack import PackInfo
from mien.formats.placed_landmarks import list_placed


@dataclass(frozen=True, slots=True)
class Provenance:
    """A model file and the faces it was evaluated on.

    Attributes:
        model_name: name of the file.
        model_sha256: hash of the file.
        model: metadata of the file.
        pack_name: name of the pack's folder.
        pack: metadata of the pack.
        split: name of the split.
        n_faces: number of faces in it.
        n_also_trained_on: number of them that are in the training split, or have a near-duplicate there.
        n_known_persons: number of them of a person or clip that the model was trained on, as far as is known.
    """

    model_name: str
    model_sha256: str
    model: ModelInfo
    pack_name: str
    pack: PackInfo
    split: str
    n_faces: int
    n_also_trained_on: int
    n_known_persons: int = 0

    @property
    def selection(self) -> str | None:
        """How the checkpoint was selected, according to the model file; None if it does not say."""
        rule = self.model.training.get("selection")
        return str(rule) if rule else None

    def warnings(self) -> tuple[str, ...]:
        """Return the reasons why the metrics may not mean what a reader would expect, one or two sentences each."""
        found = []
        if self.n_also_trained_on == self.n_faces:
            found.append(
                "The model was trained on these very faces: the metrics measure memorization, not generalization. "
                "Evaluate the split val"
            )
        elif self.n_also_trained_on:
            found.append(
                f"The model was trained on {self.n_also_trained_on:,} of the {self.n_faces:,} faces, or on "
                "near-duplicates of them"
            )
        if self.n_known_persons and self.n_also_trained_on < self.n_faces:
            found.append(
                f"{self.n_known_persons:,} of the {self.n_faces:,} faces are of persons or clips that the model was trained "
                "on: the metrics are better than on people it has not seen. Train with `data.exclude_shared_persons`"
            )
        if taught := self.model.training.get("taught"):
            found.append(
                f"The file does not record which {taught['cross_validation']['n']:,} faces the model was taught on: if some of "
                "them are in this split, the metrics measure memorization. Evaluate faces of other people"
            )
        if misfit := self.model.crop.explain_misfit(self.pack.crop, input_size=self.model.input_size):
            found.append(misfit)
        counts = self.pack.counts.get(self.split, {})
        unknown = [
            f"{name} ({count:,})"
            for name, count in counts.items()
            if count and name not in self.model.classes
        ]
        if unknown:
            found.append(
                f"Faces of classes that the model does not know are excluded from all metrics: {', '.join(unknown)}"
            )
        placed = self.pack.landmarks_by.get(self.split)
        if placed and "landmarks" in self.model.tasks:
            found.append(
                f"Landmarks of this split were placed by a model, not by people ({list_placed(placed)}): there, the landmark "
                "error is the distance to that model's points"
            )
        return tuple(found)
