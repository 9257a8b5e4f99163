"""The model file: one ONNX graph with everything needed to use it, loaded with onnxruntime and numpy alone.

The graph takes ``images`` uint8 RGB ``(N, S, S, 3)`` and gives ``expression`` calibrated probabilities
``(N, C)`` and, where the model has these tasks, ``landmarks`` ``(N, 68, 2)`` as fractions of the crop and
``valence_arousal`` ``(N, 2)`` in [-1, 1]. Its metadata holds under ``mien`` a JSON object with the fields of
`BundleInfo`, and under ``mien_sha256`` the file's hash (`mien.model_file`).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien.artifacts import parse_json
from mien.errors import ArtifactError, ModelError
from mien.faces.classes import current_class, problem_of_names
from mien.faces.crop import CropContract
from mien.model_file import read_model_file

FORMAT_VERSION = 1
METADATA_KEY = "mien"
INPUT_NAME = "images"
TASKS = ("expression", "landmarks", "valence_arousal")
LARGEST_INPUT = 1024
MOST_CLASSES = 1000
# A real file's metadata is a few thousand letters.
LONGEST_METADATA = 2**20
# Of probabilities that must sum to 1, and of bounds: float32 and int8 stay far below it.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """What a model file says of itself.

    Attributes:
        classes: expression names, in the order of the probabilities.
        crop: how a face must be cut from a picture; the crop is then resized to ``input_size``.
        input_size: side of the graph's input in pixels.
        tasks: the outputs, a part of `TASKS`.
        temperature: that the logits are divided by inside the graph.
        training: recipe, data, selection rule and dev metrics, for the model card.
        licence: of the weights, as told by their maker.
        quantisation: of an int8 file, how it was made and what it scores beside the float file; None in a float
            file.
        format_version: of this metadata.
    """

    classes: tuple[str, ...]
    crop: CropContract
    input_size: int
    tasks: tuple[str, ...] = TASKS
    temperature: float = 1.0
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    quantisation: dict[str, Any] | None = None
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Return the value of the metadata key."""
        values = asdict(self)
        if self.quantisation is None:  # releases that know no int8 read a float file
            del values["quantisation"]
        return json.dumps(values, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> "BundleInfo":
        """Read the value of the metadata key.

        Raises:
            ArtifactError: it is damaged or of another format version.
        """
        try:
            if len(text) > LONGEST_METADATA:
                raise ValueError(f"it has {len(text):,} letters, at most {LONGEST_METADATA:,} are read")  # noqa: TRY301
            value = parse_json(text)
            version = value.get("format_version")
            if type(version) is not int or version != FORMAT_VERSION:
                raise ArtifactError(
                    f"{where} has model format version {version!r:.40}, this release reads {FORMAT_VERSION}. "
                    "Export it again with `mien export`"
                )
            for name in ("classes", "tasks"):
                value[name] = _as_tuple(value[name], name)
            value["classes"] = tuple(map(current_class, value["classes"]))
            value["crop"] = CropContract.from_dict(value["crop"])
            info = cls(**value)
            _require_values(info)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise ArtifactError(
                f"The metadata of {where} is damaged: {reason:.300}. Export it again"
            ) from None
        return info


def _as_tuple(names: Any, what: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"`{what}` must be a list of names, got {names!r:.80}")
    return tuple(names)


def _require_values(info: BundleInfo) -> None:
    """Refuse metadata that no export writes.

    Raises:
        ValueError: a value is of another type, or cannot be.
    """
    if problem := problem_of_names(info.classes):
        raise ValueError(f"`classes`: {problem}")
    names = {
        "classes": (0 < len(info.classes) <= MOST_CLASSES, f"1 to {MOST_CLASSES} names"),
        "input_size": (
            type(info.input_size) is int and 0 < info.input_size <= LARGEST_INPUT,
            f"a whole number of pixels from 1 to {LARGEST_INPUT}",
        ),
        "tasks": (
            "expression" in info.tasks and len(info.tasks) == len({*TASKS}.intersection(info.tasks)),
            f"different ones of {', '.join(TASKS)}, expression among them",
        ),
        "temperature": (
            type(info.temperature) in (int, float) and 0 < info.temperature < math.inf,
            "a positive number",
        ),
        "training": (isinstance(info.training, dict), "values by name"),
        "licence": (isinstance(info.licence, str), "text"),
        "quantisation": (isinstance(info.quantisation, dict | None), "values by name, or null"),
    }
    for name, (fits, wanted) in names.items():
        if not fits:
            raise ValueError(f"`{name}` must be {wanted}, got {getattr(info, name)!r:.80}")


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model reads from N faces.

    Attributes:
        probabilities: ``(N, C)`` float32, rows sum to 1.
        landmarks: ``(N, 68, 2)`` float32 fractions of the crop, or None.
        valence_arousal: ``(N, 2)`` float32 in [-1, 1], or None.
    """

    probabilities: NDArray[np.float32]
    landmarks: NDArray[np.float32] | None
    valence_arousal: NDArray[np.float32] | None

    @classmethod
    def concatenate(cls, parts: Sequence["Outputs"]) -> "Outputs":
        """Put outputs of one model together, in order."""

        def joined(values: list[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
            present = [value for value in values if value is not None]
            return np.concatenate(present) if present else None

        return cls(
            np.concatenate([part.probabilities for part in parts]),
            joined([part.landmarks for part in parts]),
            joined([part.valence_arousal for part in parts]),
        )


def _require_agreement(session: onnxruntime.InferenceSession, info: BundleInfo, path: Path) -> None:
    """Refuse a file whose metadata are of another network.

    Raises:
        ArtifactError: they do not describe the graph.
    """
    size = info.input_size
    wanted = {INPUT_NAME: ("tensor(uint8)", [size, size, 3])}
    wanted |= {task: ("tensor(float)", shape) for task, shape in _output_shapes(info).items()}
    tensors = [*session.get_inputs(), *session.get_outputs()]
    found = {tensor.name: (tensor.type, tensor.shape[1:]) for tensor in tensors}
    counts_faces = all(tensor.shape and not isinstance(tensor.shape[0], int) for tensor in tensors)
    if found != wanted or len(tensors) != len(wanted) or not counts_faces:
        tensors_found = "; ".join(f"{tensor.name} {tensor.type} {tensor.shape}" for tensor in tensors)
        raise ArtifactError(
            f"The metadata of {path} does not describe its network, which has {tensors_found[:200]!r}, but the metadata "
            f"{len(info.classes)} classes, tasks {', '.join(info.tasks)} and input size {size}; the first dimension "
            "must be free. Export it again"
        )


def _output_shapes(info: BundleInfo) -> dict[str, list[int]]:
    """Return the shape of each output but its first dimension, the faces."""
    shapes = {"expression": [len(info.classes)], "landmarks": [68, 2], "valence_arousal": [2]}
    return {task: shapes[task] for task in info.tasks}


def _open_session(content: bytes, path: Path, *, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and told in one line
    # Else a file of onnxruntime's own format would be taken as well, in which nothing was looked at.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        # The very bytes that were compared.
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises its own kinds, and RuntimeError
        raise ArtifactError(
            f"{path} is no ONNX model that can be loaded: {_one_line(error)}. Copy it again, or export it again"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class Bundle:
    """A loaded model file."""

    def __init__(
        self,
        path: Path,
        session: onnxruntime.InferenceSession,
        info: BundleInfo,
        *,
        threads: int | None = None,
    ) -> None:
        self.path = path
        self.info = info
        self.threads = threads
        self._session = session

    @classmethod
    def load(cls, path: Path, threads: int | None = None) -> "Bundle":
        """Load a model file on the CPU.

        Args:
            path: the file.
            threads: for one call, or None for one per core.

        Raises:
            ArtifactError: the file is missing, no ONNX model, not one of mien's, or not the one that was written.
            ModelError: it does not give what its metadata says, tried on two faces.
        """
        if not path.is_file():
            raise ArtifactError(f"Model {path} does not exist. Make one with `mien export RUN --out {path}`")
        file = read_model_file(path)
        if METADATA_KEY not in file.metadata:
            raise ArtifactError(
                f"{path} is an ONNX model, but not one of mien's: it lacks the metadata {METADATA_KEY!r}. "
                "Use a file that `mien export` wrote"
            )
        if len(file.metadata) > 1:
            others = ", ".join(repr(name)[:40] for name in file.metadata if name != METADATA_KEY)
            raise ArtifactError(
                f"{path} has metadata that mien does not write: {others[:200]}. Use the file as `mien export` wrote it"
            )
        info = BundleInfo.from_json(file.metadata[METADATA_KEY], where=str(path))
        bundle = cls(path, _open_session(file.content, path, threads=threads), info, threads=threads)
        _require_agreement(bundle._session, info, path)
        size = info.input_size
        ramp = (np.arange(size * size * 3) % 256).astype(np.uint8).reshape(1, size, size, 3)
        bundle._compute(np.concatenate([ramp, np.zeros_like(ramp)]))
        return bundle

    def run(self, images_rgb: NDArray[np.uint8]) -> Outputs:
        """Read faces.

        Args:
            images_rgb: ``(N, S, S, 3)`` uint8, S the model's ``input_size``.

        Raises:
            ValueError: another shape or type.
            ModelError: the model fails, or gives values that are not finite or no probabilities.
        """
        size = self.info.input_size
        if images_rgb.dtype != np.uint8 or images_rgb.shape[1:] != (size, size, 3):
            raise ValueError(
                f"`images_rgb` must be uint8 (N, {size}, {size}, 3), got {images_rgb.dtype} {images_rgb.shape}"
            )
        return self._compute(images_rgb)

    def _compute(self, images_rgb: NDArray[np.uint8]) -> Outputs:
        try:
            values = self._session.run(list(self.info.tasks), {INPUT_NAME: images_rgb})
        except Exception as error:
            raise ModelError(f"Model {self.path} fails: {_one_line(error)}. Export it again") from error
        outputs = dict(zip(self.info.tasks, values, strict=True))
        for task, shape in _output_shapes(self.info).items():
            self._require_possible(task, outputs[task], (len(images_rgb), *shape))
        return Outputs(outputs["expression"], outputs.get("landmarks"), outputs.get("valence_arousal"))

    def _require_possible(self, task: str, values: NDArray[np.float32], shape: tuple[int, ...]) -> None:
        if values.shape != shape:
            raise ModelError(
                f"Model {self.path} gives {task} of shape {values.shape}, {shape} is needed. Export it again"
            )
        if not np.isfinite(values).all():
            raise ModelError(
                f"Model {self.path} gives values of {task} that are not finite numbers. "
                "Its training diverged: look at the run's curves, and train it again"
            )
        low, high = {"expression": (0.0, 1.0), "valence_arousal": (-1.0, 1.0)}.get(task, (-np.inf, np.inf))
        is_outside = values.size and (values.min() < low - TOLERANCE or values.max() > high + TOLERANCE)
        if is_outside or (task == "expression" and (np.abs(values.sum(axis=1) - 1) > TOLERANCE).any()):
            raise ModelError(
                f"Model {self.path} gives values of {task} that are none: probabilities must sum to 1, valence and arousal "
                "lie in [-1, 1]. Export it again"
            )
