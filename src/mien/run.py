"""The run: the folder that `train` writes and `export` reads.

- ``run.json``: what is trained on what: classes, crop, tasks, pack, recipe; written first.
- ``recipe.yaml``: the resolved recipe, which `mien train --recipe` takes.
- ``provenance.json``: commit, versions, seed, hardware, command.
- ``metrics.csv``, ``curves.png``, ``tensorboard/``: how it went, epoch by epoch.
- ``checkpoints/last.ckpt``: to resume from. ``checkpoints/best.safetensors``: the chosen weights.
- ``dev.npz``: the chosen network's outputs on the dev split, the truth, which faces they are, and some crops.
- ``result.json``: the chosen epoch and its dev metrics, and hashes of run.json, the chosen weights and dev.npz; written
  last: its presence means a finished run.

What a finished run's files hold is believed only after they were compared with their hashes.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import file_sha256, json_sha256, read_json, require_sha256, write_json
from mien.errors import ArtifactError
from mien.faces.classes import current_class
from mien.faces.crop import CropContract

FORMAT_VERSION = 2
# Version 1 held no hashes.
READABLE_VERSIONS = (1, FORMAT_VERSION)
WEIGHTS = "checkpoints/best.safetensors"
DEV_OUTPUTS = "dev.npz"
HASHED_FILES = ("run.json", WEIGHTS, DEV_OUTPUTS)
TRAIN_AGAIN = "Copy the run again, or train again with --force"
# Of dev.npz, unpacked: 64 crops and the logits of a million faces are a tenth of it.
MOST_DEV_BYTES = 2**32


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
        format_version: of run.json.
    """

    path: Path
    classes: tuple[str, ...]
    crop: CropContract
    recipe: dict[str, Any]
    pack: dict[str, Any]
    format_version: int = FORMAT_VERSION

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Open a run, finished or not.

        Raises:
            ArtifactError: it is missing, damaged or of another format version.
        """
        if not path.is_dir():
            raise ArtifactError(f"Run {path} does not exist. Make one with `mien train ... --out {path}`")
        value = read_json(path / "run.json", what="run")
        version = value.get("format_version")
        if type(version) is not int or version not in READABLE_VERSIONS:
            raise ArtifactError(
                f"{path / 'run.json'} has run format version {version!r:.40}, this release reads "
                f"{' and '.join(map(str, READABLE_VERSIONS))}. Train again"
            )
        try:
            _require_description(value)
            crop = CropContract.from_dict(value["crop"])
            classes = tuple(map(current_class, value["classes"]))
            return cls(path, classes, crop, value["recipe"], value["pack"], version)
        except (KeyError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ArtifactError(f"{path / 'run.json'} is damaged: {reason}. {TRAIN_AGAIN}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the content of run.json."""
        return {
            "format_version": self.format_version,
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
        return self.path / WEIGHTS

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json, which makes the run a finished one, with the hashes of the files that it is about."""
        value = {**result, "sha256": {name: file_sha256(self.path / name) for name in HASHED_FILES}}
        write_json(self.path / "result.json", {**value, "result_sha256": json_sha256(value)})

    def read_result(self) -> dict[str, Any]:
        """Return what result.json says of the run: ``best_epoch``, ``epochs``, ``select_by``, ``dev``.

        Raises:
            ArtifactError: the run has not finished, or result.json or run.json is not the one that was written.
        """
        if not (self.path / "result.json").exists():
            raise ArtifactError(f"Run {self.path} has not finished. Go on with `mien train ... --resume`")
        self.require_unchanged("run.json")
        result = self._read_record()
        return {name: value for name, value in result.items() if name not in ("sha256", "result_sha256")}

    def require_unchanged(self, name: str) -> None:
        """Compare one of `HASHED_FILES` with the hash in result.json; of an unfinished run there is none yet.

        Raises:
            ArtifactError: the file is missing or not the one that was written, or result.json is damaged.
        """
        if not (self.path / "result.json").exists():
            return
        hashes = self._read_record().get("sha256")
        if hashes is not None:
            require_sha256(self.path / name, hashes[name], record="result.json", advice=TRAIN_AGAIN)

    def _read_record(self) -> dict[str, Any]:
        path = self.path / "result.json"
        record = read_json(path, what="run")
        try:
            _require_result(record, has_hashes=self.format_version > 1 or "sha256" in record)
        except (KeyError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ArtifactError(f"{path} is damaged: {reason}. {TRAIN_AGAIN}") from None
        return record

    def read_dev_outputs(self) -> DevOutputs:
        """Return dev.npz.

        Raises:
            ArtifactError: it is missing, damaged or not the one that was written.
        """
        self.require_unchanged(DEV_OUTPUTS)
        path = self.path / DEV_OUTPUTS
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as values:
                n_bytes = sum(entry.file_size for entry in values.zip.infolist())
                if n_bytes > MOST_DEV_BYTES:
                    raise ValueError(f"unpacked it has {n_bytes:,} bytes")
                outputs = DevOutputs(
                    values["logits"],
                    values["labels"],
                    values["crops"],
                    *(values.get(name) for name in ("pack_numbers", "rows")),
                )
            _require_outputs(outputs, n_classes=len(self.classes))
        except _UNREADABLE_NPZ as error:
            raise ArtifactError(f"{path} cannot be read: {error}. {TRAIN_AGAIN}") from None
        return outputs


# What zipfile, zlib and numpy raise for bytes that are no such file.
_UNREADABLE_NPZ = (
    AttributeError,
    OSError,
    EOFError,
    BadZipFile,
    KeyError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    zlib.error,
)


def _require_description(value: Mapping[str, Any]) -> None:
    """Refuse a run.json without the types that its readers count on.

    Raises:
        KeyError: a value is missing.
        ValueError: one is of another type.
    """
    classes, recipe, pack = value["classes"], value["recipe"], value["pack"]
    if not _are_texts(classes) or not classes or len(set(classes)) != len(classes):
        raise ValueError(f"`classes` must be different names, got {classes!r:.80}")
    if not all(isinstance(part, dict) for part in (recipe, pack)):
        raise ValueError(f"`recipe` and `pack` must hold values by name, got {recipe!r:.40} and {pack!r:.40}")
    texts = [pack[name] for name in ("source", "path", "content_sha256") if name in pack]
    if not _are_texts(texts) or not _are_texts(pack.get("members", [])):
        raise ValueError(f"`pack` must hold source, path and hashes as text, got {pack!r:.80}")


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _require_result(record: Mapping[str, Any], *, has_hashes: bool) -> None:
    """Refuse a result.json without the types that its readers count on, or with another hash than its own.

    Raises:
        KeyError: a value is missing.
        ValueError: one is of another type, or the hash is not that of the values.
    """
    if has_hashes:
        covered = {name: value for name, value in record.items() if name != "result_sha256"}
        if record["result_sha256"] != json_sha256(covered):
            raise ValueError("its `result_sha256` is not that of its values")
        hashes = record["sha256"]
        if not isinstance(hashes, dict) or not all(
            isinstance(hashes.get(name), str) for name in HASHED_FILES
        ):
            raise ValueError(
                f"`sha256` must have the hashes of {', '.join(HASHED_FILES)}, got {hashes!r:.80}"
            )
    for name in ("best_epoch", "epochs"):
        if type(record[name]) is not int:
            raise ValueError(f"`{name}` must be a whole number, got {record[name]!r:.80}")
    dev = record["dev"]
    if not isinstance(record["select_by"], str) or not isinstance(dev, dict) or type(dev.get("n")) is not int:
        raise ValueError(f"`dev` must hold `n` and metrics, and `select_by` name one, got {dev!r:.80}")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in dev.values()):
        raise ValueError(f"`dev` must hold numbers, got {dev!r:.80}")


def _require_outputs(outputs: DevOutputs, *, n_classes: int) -> None:
    """Refuse arrays that are not of one set of faces, or of other classes.

    Raises:
        ValueError: they do not fit together.
    """
    n, crops = len(outputs.labels), outputs.crops
    places = [places for places in (outputs.pack_numbers, outputs.rows) if places is not None]
    fits = (
        outputs.logits.shape == (n, n_classes)
        and outputs.logits.dtype.kind == "f"
        and all(whole.shape == (n,) and whole.dtype.kind == "i" for whole in (outputs.labels, *places))
        and n > 0
        and outputs.labels.min() >= 0
        and outputs.labels.max() < n_classes
        and crops.dtype == np.uint8
        and crops.ndim == 4
        and 0 < len(crops) <= n
        and crops.shape[1:] == (crops.shape[1], crops.shape[1], 3)
    )
    if not fits:
        shapes = ", ".join(
            f"{array.dtype} {array.shape}" for array in (outputs.logits, outputs.labels, crops)
        )
        raise ValueError(f"logits, labels and crops do not fit together or {n_classes} classes: {shapes}")
