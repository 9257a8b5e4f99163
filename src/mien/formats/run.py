"""The run: the folder that `train` writes and `export` reads.

- ``run.json``: classes, crop, pack and recipe; written first.
- ``recipe.yaml``: the resolved recipe, for `mien train --recipe`.
- ``provenance.json``: commit, versions, seed, hardware, command.
- ``metrics.csv``, ``curves.png``, ``tensorboard/``: training logs by epoch.
- ``checkpoints/last.ckpt``: to resume from. ``checkpoints/best.safetensors``: the selected weights.
- ``dev.npz``: the selected network's logits on the dev split, its labels, the indices of its faces, and some crops.
- ``result.json``: the selected epoch and its dev metrics, and the hashes of run.json, the selected weights and dev.npz;
  written last, so its presence means that the run is finished.

The files of a finished run are used only after their hashes have been verified.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import file_sha256, json_sha256, read_json, require_sha256, write_json
from mien.errors import ArtifactError
from mien.faces.classes import current_class
from mien.faces.crop import CropContract
from mien.formats.recipe_keys import rename_keys
from mien.tasks import Annotations, annotations_to_dict, parse_annotations

FORMAT_VERSION = 2
# Version 1 held no hashes.
READABLE_VERSIONS = (1, FORMAT_VERSION)
WEIGHTS = "checkpoints/best.safetensors"
DEV_OUTPUTS = "dev.npz"
HASHED_FILES = ("run.json", WEIGHTS, DEV_OUTPUTS)
TRAIN_AGAIN = "Copy the run again, or train again with --force"
# Uncompressed size of dev.npz: 64 crops and the logits of a million faces take a tenth of it.
MAX_DEV_BYTES = 2**32
# What zipfile, zlib and numpy raise for bytes that are not an npz file.
_NPZ_ERRORS = (
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


class DevOutputs(NamedTuple):
    """The selected network's outputs on the dev split.

    Attributes:
        logits: ``(N, C)`` float32.
        labels: ``(N,)`` int64.
        crops: ``(M, S, S, 3)`` uint8, the network's input for the first M faces.
        pack_numbers: ``(N,)`` int64 indices of the run's packs, from 0; None in runs from before they were recorded.
        rows: ``(N,)`` int64 rows in the train split of that pack, from 0; None likewise.
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
        crop: how the faces were cropped.
        recipe: the resolved recipe as plain values, with current key names.
        pack: source, content hash and counts of the training pack.
        format_version: version of run.json.
        annotations: the columns of optional tasks; the key exists in run.json only if the network has one.
    """

    path: Path
    classes: tuple[str, ...]
    crop: CropContract
    recipe: dict[str, Any]
    pack: dict[str, Any]
    format_version: int = FORMAT_VERSION
    annotations: Annotations = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open a run, finished or not.

        Raises:
            ArtifactError: it is missing, damaged or has another format version.
        """
        path = Path(path)
        if path.is_file():
            raise ArtifactError(
                f"Run {path} is a file, a run is a folder. Give the folder that `mien train` wrote"
            )
        if not path.is_dir():
            raise ArtifactError(f"Run {path} does not exist. Make one with `mien train ... --out {path}`")
        value = read_json(path / "run.json", what="run", advice=TRAIN_AGAIN)
        version = value.get("format_version")
        if type(version) is not int or version not in READABLE_VERSIONS:
            raise ArtifactError(
                f"{path / 'run.json'} has run format version {version!r:.40}, this release reads "
                f"{' and '.join(map(str, READABLE_VERSIONS))}. Train again"
            )
        try:
            classes, recipe, pack = value["classes"], value["recipe"], value["pack"]
            if not _are_texts(classes) or not classes or len(set(classes)) != len(classes):
                raise ValueError(f"`classes` must be distinct names, got {classes!r:.80}")
            if not all(isinstance(part, dict) for part in (recipe, pack)):
                raise ValueError(f"`recipe` and `pack` must be objects, got {recipe!r:.40} and {pack!r:.40}")
            texts = [pack[name] for name in ("source", "path", "content_sha256") if name in pack]
            if not _are_texts(texts) or not _are_texts(pack.get("members", [])):
                raise ValueError(f"`pack` must have source, path and hashes as text, got {pack!r:.80}")
            crop = CropContract.from_dict(value["crop"])
            annotations = parse_annotations(value.get("annotations", {}))
            names = tuple(map(current_class, classes))
            return cls(path, names, crop, rename_keys(recipe), pack, version, annotations)
        except (KeyError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ArtifactError(f"{path / 'run.json'} is damaged: {reason}. {TRAIN_AGAIN}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the content of run.json."""
        values = {
            "format_version": self.format_version,
            "classes": list(self.classes),
            "crop": self.crop.to_dict(),
            "recipe": self.recipe,
            "pack": self.pack,
        }
        if self.annotations:
            values["annotations"] = annotations_to_dict(self.annotations)
        return values

    @property
    def last_checkpoint_path(self) -> Path:
        """The checkpoint that training resumes from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def best_weights_path(self) -> Path:
        """The selected weights."""
        return self.path / WEIGHTS

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json with the hashes of `HASHED_FILES`; this marks the run as finished."""
        value = {**result, "sha256": {name: file_sha256(self.path / name) for name in HASHED_FILES}}
        write_json(self.path / "result.json", {**value, "result_sha256": json_sha256(value)})

    def read_result(self) -> dict[str, Any]:
        """Return ``best_epoch``, ``epochs``, ``select_by`` and ``dev`` from result.json.

        Raises:
            ArtifactError: the run has not finished, or result.json or run.json has changed since it was written.
        """
        if not (self.path / "result.json").exists():
            raise ArtifactError(f"Run {self.path} has not finished. Resume it with `mien train ... --resume`")
        self.require_unchanged("run.json")
        result = self._read_record()
        return {name: value for name, value in result.items() if name not in ("sha256", "result_sha256")}

    def require_unchanged(self, name: str) -> None:
        """Verify one of `HASHED_FILES` against its hash in result.json; an unfinished run has none yet.

        Raises:
            ArtifactError: the file is missing or has changed since it was written, or result.json is damaged.
        """
        if not (self.path / "result.json").exists():
            return
        hashes = self._read_record().get("sha256")
        if hashes is not None:
            require_sha256(self.path / name, hashes[name], record="result.json", advice=TRAIN_AGAIN)

    def _read_record(self) -> dict[str, Any]:
        path = self.path / "result.json"
        record = read_json(path, what="run", advice=TRAIN_AGAIN)
        try:
            _require_result(record, has_hashes=self.format_version > 1 or "sha256" in record)
        except (KeyError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ArtifactError(f"{path} is damaged: {reason}. {TRAIN_AGAIN}") from None
        return record

    def read_dev_outputs(self) -> DevOutputs:
        """Return the content of dev.npz.

        Raises:
            ArtifactError: it is missing, damaged or has changed since it was written.
        """
        self.require_unchanged(DEV_OUTPUTS)
        path = self.path / DEV_OUTPUTS
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as values:
                n_bytes = sum(entry.file_size for entry in values.zip.infolist())
                if n_bytes > MAX_DEV_BYTES:
                    raise ValueError(f"uncompressed, it has {n_bytes:,} bytes")
                outputs = DevOutputs(
                    values["logits"],
                    values["labels"],
                    values["crops"],
                    *(values.get(name) for name in ("pack_numbers", "rows")),
                )
            _require_consistent(outputs, n_classes=len(self.classes))
        except _NPZ_ERRORS as error:
            raise ArtifactError(f"{path} cannot be read: {error}. {TRAIN_AGAIN}") from None
        return outputs


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _require_result(record: Mapping[str, Any], *, has_hashes: bool) -> None:
    """Reject a result.json whose values have wrong types or do not match its hash.

    Raises:
        KeyError: a value is missing.
        ValueError: a value has the wrong type, or the hash does not match.
    """
    if has_hashes:
        covered = {name: value for name, value in record.items() if name != "result_sha256"}
        if record["result_sha256"] != json_sha256(covered):
            raise ValueError("its `result_sha256` does not match its values")
        hashes = record["sha256"]
        if not isinstance(hashes, dict) or not all(
            isinstance(hashes.get(name), str) for name in HASHED_FILES
        ):
            raise ValueError(f"`sha256` must have hashes of {', '.join(HASHED_FILES)}, got {hashes!r:.80}")
    for name in ("best_epoch", "epochs"):
        if type(record[name]) is not int:
            raise ValueError(f"`{name}` must be an integer, got {record[name]!r:.80}")
    dev = record["dev"]
    if not isinstance(record["select_by"], str) or not isinstance(dev, dict) or type(dev.get("n")) is not int:
        raise ValueError(f"`dev` must have `n` and metrics, and `select_by` must name one, got {dev!r:.80}")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in dev.values()):
        raise ValueError(f"`dev` must have numeric values, got {dev!r:.80}")


def _require_consistent(outputs: DevOutputs, *, n_classes: int) -> None:
    """Reject arrays that are not of the same faces, or have another number of classes.

    Raises:
        ValueError: they are inconsistent.
    """
    n, crops = len(outputs.labels), outputs.crops
    integers = [array for array in (outputs.labels, outputs.pack_numbers, outputs.rows) if array is not None]
    is_consistent = (
        outputs.logits.shape == (n, n_classes)
        and outputs.logits.dtype.kind == "f"
        and all(array.shape == (n,) and array.dtype.kind == "i" for array in integers)
        and n > 0
        and outputs.labels.min() >= 0
        and outputs.labels.max() < n_classes
        and crops.dtype == np.uint8
        and crops.ndim == 4
        and 0 < len(crops) <= n
        and crops.shape[1:] == (crops.shape[1], crops.shape[1], 3)
    )
    if not is_consistent:
        shapes = ", ".join(
            f"{array.dtype} {array.shape}" for array in (outputs.logits, outputs.labels, crops)
        )
        raise ValueError(
            f"logits, labels and crops are inconsistent, or not of {n_classes} classes: {shapes}"
        )
