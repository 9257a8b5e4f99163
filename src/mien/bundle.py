"""The model file: one ONNX graph with everything needed to use it, loaded with onnxruntime and numpy alone.

The graph takes ``images`` uint8 RGB ``(N, S, S, 3)`` and gives ``expression`` calibrated probabilities
``(N, C)`` and, where the model has these tasks, ``landmarks`` ``(N, 68, 2)`` as fractions of the crop and
``valence_arousal`` ``(N, 2)`` in [-1, 1]. Its metadata holds one key, ``mien``, a JSON object with the
fields of `BundleInfo`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien.errors import ArtifactError, ModelError
from mien.faces.classes import current_class, problem_of_names
from mien.faces.crop import CropContract

FORMAT_VERSION = 1
METADATA_KEY = "mien"
INPUT_NAME = "images"
TASKS = ("expression", "landmarks", "valence_arousal")


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
            value = json.loads(text)
            version = value.get("format_version")
            if version != FORMAT_VERSION:
                raise ArtifactError(
                    f"{where} has model format version {version!r}, this release reads {FORMAT_VERSION}. "
                    "Export it again with `mien export`"
                )
            value["classes"] = tuple(map(current_class, value["classes"]))
            value["tasks"] = tuple(value["tasks"])
            value["crop"] = CropContract(**value["crop"])
            info = cls(**value)
            problem = problem_of_names(info.classes)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problem = str(error) or type(error).__name__
        if problem:
            raise ArtifactError(f"The metadata of {where} is damaged: {problem}. Export it again")
        return info


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
    """Refuse a file whose metadata are of another network, or hold values of another kind.

    Raises:
        ArtifactError: they do not describe the graph.
    """
    inputs = {tensor.name: tensor.shape[1:] for tensor in session.get_inputs()}
    outputs = {tensor.name: tensor.shape[1:] for tensor in session.get_outputs()}
    is_described = (
        isinstance(info.training, dict)
        and inputs == {INPUT_NAME: [info.input_size, info.input_size, 3]}
        and "expression" in info.tasks
        and outputs.get("expression") == [len(info.classes)]
        and set(info.tasks) == set(outputs)
    )
    if not is_described:
        raise ArtifactError(
            f"The metadata of {path} does not describe its network: inputs {inputs}, outputs {outputs}, but "
            f"{len(info.classes)} classes, tasks {', '.join(map(str, info.tasks))} and input size {info.input_size!r}. "
            "Export it again"
        )


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
            ArtifactError: the file is missing, no ONNX model, or not one of mien's.
        """
        if not path.is_file():
            raise ArtifactError(f"Model {path} does not exist. Make one with `mien export RUN --out {path}`")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - onnxruntime raises its own kinds, and RuntimeError
            raise ArtifactError(f"{path} is no ONNX model that onnxruntime can load: {error}") from None
        metadata = session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in metadata:
            raise ArtifactError(
                f"{path} is an ONNX model, but not one of mien's: it lacks the metadata {METADATA_KEY!r}. "
                "Use a file that `mien export` wrote"
            )
        info = BundleInfo.from_json(metadata[METADATA_KEY], where=str(path))
        _require_agreement(session, info, path)
        return cls(path, session, info, threads=threads)

    def run(self, images_rgb: NDArray[np.uint8]) -> Outputs:
        """Read faces.

        Args:
            images_rgb: ``(N, S, S, 3)`` uint8, S the model's ``input_size``.

        Raises:
            ValueError: another shape or type.
            ModelError: the model gives values that are not finite.
        """
        size = self.info.input_size
        if images_rgb.dtype != np.uint8 or images_rgb.shape[1:] != (size, size, 3):
            raise ValueError(
                f"`images_rgb` must be uint8 (N, {size}, {size}, 3), got {images_rgb.dtype} {images_rgb.shape}"
            )
        values = self._session.run(list(self.info.tasks), {INPUT_NAME: images_rgb})
        outputs = dict(zip(self.info.tasks, values, strict=True))
        for task, value in outputs.items():
            if not np.isfinite(value).all():
                raise ModelError(
                    f"Model {self.path} gives values of {task} that are not finite numbers. "
                    "Its training diverged: look at the run's curves, and train it again"
                )
        return Outputs(outputs["expression"], outputs.get("landmarks"), outputs.get("valence_arousal"))
