"""The run: the folder that `train` writes and `export` reads.

- ``run.json``: what is trained on what: classes, crop, tasks, pack, recipe; written first.
- ``recipe.yaml``: the resolved recipe, which `mien train --recipe` takes.
- ``provenance.json``: commit, versions, seed, hardware, command.
- ``metrics.csv``, ``curves.png``, ``tensorboard/``: how it went, epoch by epoch.
- ``checkpoints/last.ckpt``: to resume from. ``checkpoints/best.safetensors``: the chosen weights.
- ``dev.npz``: the chosen network's outputs on the dev split, the truth, which faces they are, and some crops.
- ``result.json``: the chosen epoch and its dev metrics; written last: its presence means a finished run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import read_json
from mien.errors import ArtifactError
from mien.faces.classes import current_class
from mien.faces.crop import CropContract

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class DevOutputs:
    """What the chosen network said of the dev split.

    Attributes:
        logits: ``(N, C)`` float32.
        labels: ``(N,)`` int64.
        crops: ``(M, S, S, 3)`` uint8, the first faces as the network saw them.
        pack_numbers: ``(N,)`` int64 which of the run's packs a face is in, from 0; None in runs made before
            it was kept.
        rows: ``(N,)`` int64 its place in that pack's train split, from 0; None likewise.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    crops: NDArray[np.uint8]
    pack_numbers: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A training run on disk.

    Attributes:
        path: its folder.
        classes: the network's classes, in logit order.
        crop: how the faces were cut.
        recipe: the resolved recipe as plain values.
        pack: source, content hash and counts of what it was trained on.
    """

    path: Path
    classes: tuple[str, ...]
    crop: CropContract
    recipe: dict[str, Any]
    pack: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Open a run, finished or not.

        Raises:
            ArtifactError: it is missing, damaged or of another format version.
        """
        if not path.is_dir():
            raise ArtifactError(f"Run {path} does not exist. Make one with `mien train ... --out {path}`")
        value = read_json(path / "run.json", what="run")
        if value.get("format_version") != FORMAT_VERSION:
            raise ArtifactError(
                f"{path} has run format version {value.get('format_version')!r}, this release reads "
                f"{FORMAT_VERSION}. Train again"
            )
        try:
            return cls(
                path,
                tuple(map(current_class, value["classes"])),
                CropContract(**value["crop"]),
                value["recipe"],
                value["pack"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path / 'run.json'} is damaged: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the content of run.json."""
        return {
            "format_version": FORMAT_VERSION,
            "classes": list(self.classes),
            "crop": self.crop.to_dict(),
            "recipe": self.recipe,
            "pack": self.pack,
        }

    @property
    def last_checkpoint_path(self) -> Path:
        """Where training goes on from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def best_weights_path(self) -> Path:
        """The chosen weights."""
        return self.path / "checkpoints" / "best.safetensors"

    def read_result(self) -> dict[str, Any]:
        """Return result.json.

        Raises:
            ArtifactError: the run has not finished.
        """
        if not (self.path / "result.json").exists():
            raise ArtifactError(f"Run {self.path} has not finished. Go on with `mien train ... --resume`")
        return read_json(self.path / "result.json", what="run")

    def read_dev_outputs(self) -> DevOutputs:
        """Return dev.npz.

        Raises:
            ArtifactError: it is missing or damaged.
        """
        path = self.path / "dev.npz"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as values:
                return DevOutputs(
                    values["logits"],
                    values["labels"],
                    values["crops"],
                    *(values.get(name) for name in ("pack_numbers", "rows")),
                )
        except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}. Train again") from None
