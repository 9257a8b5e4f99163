"""The model file: one ONNX graph with everything needed to use it, loaded with only onnxruntime and numpy.

The graph takes ``images`` uint8 RGB ``(N, S, S, 3)`` and returns ``expression``, calibrated probabilities ``(N, C)``,
and the values of the model's further tasks, such as ``landmarks`` ``(N, 68, 2)`` as fractions of the crop and
``valence_arousal`` ``(N, 2)`` in [-1, 1]: `mien.tasks.TASKS` lists them. One more output, ``features`` ``(N, F)``, is what
the expression's linear layer takes, for other classes to be taught on it. It costs nothing unless it is asked for: onnxruntime
computes the requested outputs only. Its metadata has two entries: ``mien``, a JSON object with the fields of `ModelInfo`,
and ``mien_sha256``, the hash of the file (`mien.formats.model_file`).
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ArtifactError, MienError, ModelError
from mien.faces.classes import check_class_names, current_class
from mien.faces.crop import CropContract
from mien.faces.quality import check_quality_rule
from mien.formats.model_file import ModelFile, read_model_content, read_model_file
from mien.runtime.json_text import parse_json
from mien.runtime.onnx_session import CPU_PROVIDER, OnnxSession, Provider
from mien.runtime.progress import Progress
from mien.tasks import TASKS, Annotations, Values, annotations_to_dict, parse_annotations, task_shapes

FORMAT_VERSION = 2
METADATA_KEY = "mien"
INPUT_NAME = "images"
FEATURES_NAME = "features"
MAX_INPUT_SIZE = 1024
MAX_CLASSES = 1000
# The metadata of a real file has a few thousand characters.
MAX_METADATA_CHARACTERS = 2**20
# For the sum of probabilities and for value ranges: float32 and int8 stay far below it.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The metadata of a model file. Field names are the keys in the file.

    Attributes:
        classes: expression names, in the order of the probabilities.
        crop: how faces must be cropped; the crop is then resized to ``input_size``.
        input_size: side of the graph's input in pixels.
        tasks: names of the outputs, among `mien.tasks.TASKS`.
        temperature: divisor of the logits inside the graph.
        training: recipe, data, selection rule and dev metrics, for the model card.
        license: license of the weights, as stated by their author.
        quantization: for an int8 file, how it was quantized and how it scores compared with the float file; None for a
            float file.
        annotations: the columns of optional tasks; the key exists only if the model has one.
        quality_rule: which faces are too hard to see for this model, see `mien.faces.quality.check_quality_rule`; the key
            exists only if the file has its own rule.
        format_version: version of this metadata.
    """

    classes: tuple[str, ...]
    crop: CropContract
    input_size: int
    tasks: tuple[str, ...] = ("expression", "landmarks", "valence_arousal")
    temperature: float = 1.0
    training: dict[str, Any] = field(default_factory=dict)
    license: str = ""
    quantization: dict[str, Any] | None = None
    annotations: Annotations = field(default_factory=dict)
    quality_rule: dict[str, Any] | None = None
    format_version: int = FORMAT_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the keys ``annotations`` and ``quality_rule`` exist only if the model has them."""
        values = asdict(replace(self, annotations={}))
        del values["annotations"]
        if self.quality_rule is None:
            del values["quality_rule"]
        return values | ({"annotations": annotations_to_dict(self.annotations)} if self.annotations else {})

    def to_json(self) -> str:
        """Return the value of the metadata entry."""
        values = self.to_dict()
        if self.quantization is None:
            del values["quantization"]
        return json.dumps(values, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> "ModelInfo":
        """Parse the value of the metadata entry.

        Raises:
            ArtifactError: it is damaged or of another format version.
        """
        try:
            if len(text) > MAX_METADATA_CHARACTERS:
                raise ValueError(
                    f"it has {len(text):,} characters, at most {MAX_METADATA_CHARACTERS:,} are supported"
                )
            value = parse_json(text)
            version = value.get("format_version")
            if type(version) is not int or version != FORMAT_VERSION:
                raise ArtifactError(
                    f"{where} has model format version {version!r:.40}, this release reads {FORMAT_VERSION}. "
                    "Export it again with `mien export`"
                )
            for name in ("classes", "tasks"):
                names = value[name]
                if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
                    raise ValueError(f"`{name}` must be a list of names, got {names!r:.80}")
                value[name] = tuple(names)
            value["classes"] = tuple(map(current_class, value["classes"]))
            value["crop"] = CropContract.from_dict(value["crop"])
            value["annotations"] = parse_annotations(value.get("annotations", {}))
            info = cls(**value)
            info._require_valid()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise ArtifactError(
                f"The metadata of {where} is damaged: {reason:.300}. Export it again"
            ) from None
        return info

    def _require_valid(self) -> None:
        """Reject values that no export writes.

        Raises:
            ValueError: a value has the wrong type or is out of range.
        """
        if problem := check_class_names(self.classes):
            raise ValueError(f"`classes`: {problem}")
        if self.quality_rule is not None and (problem := check_quality_rule(self.quality_rule)):
            raise ValueError(f"`quality_rule`: {problem}")
        possible_tasks = task_shapes(len(self.classes), self.annotations)
        checks = {
            "classes": (0 < len(self.classes) <= MAX_CLASSES, f"1 to {MAX_CLASSES} names"),
            "input_size": (
                type(self.input_size) is int and 0 < self.input_size <= MAX_INPUT_SIZE,
                f"an integer number of pixels from 1 to {MAX_INPUT_SIZE}",
            ),
            "tasks": (
                "expression" in self.tasks
                and len(self.tasks) == len(set(possible_tasks).intersection(self.tasks)),
                f"a subset of {', '.join(possible_tasks)} that includes expression",
            ),
            "temperature": (
                type(self.temperature) in (int, float) and 0 < self.temperature < math.inf,
                "a positive number",
            ),
            "training": (isinstance(self.training, dict), "an object"),
            "license": (isinstance(self.license, str), "text"),
            "quantization": (isinstance(self.quantization, dict | None), "an object or null"),
        }
        for name, (is_valid, required) in checks.items():
            if not is_valid:
                raise ValueError(f"`{name}` must be {required}, got {getattr(self, name)!r:.80}")

    def output_shapes(self) -> dict[str, list[int]]:
        """Return the shape of each output without its first dimension, the faces."""
        shapes = task_shapes(len(self.classes), self.annotations)
        return {task: list(shapes[task]) for task in self.tasks}


def concatenate(parts: Sequence[Values]) -> Values:
    """Concatenate outputs of one model, in order."""
    return {task: np.concatenate([part[task] for part in parts]) for task in parts[0]}


def _unpickle(path: Path, content: bytes, threads: int | None, providers: Sequence[Provider]) -> "OnnxModel":
    file = read_model_content(content, where=str(path))
    # The path is of the machine on which it was pickled: here may be no such file, or another one.
    return OnnxModel(path, file, threads=threads, providers=providers, in_memory=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class OnnxModel:
    """A loaded model file. It can be used from several threads at once, pickled with its content, and used after a fork."""

    def __init__(
        self,
        path: Path,
        file: ModelFile,
        *,
        threads: int | None = None,
        providers: Sequence[Provider] = (CPU_PROVIDER,),
        in_memory: bool = False,
    ) -> None:
        """Load a model from the verified content of its file. See `load`, which reads it.

        Args:
            path: where the content is from.
            file: the content.
            threads: number of threads per call, or None for one per core.
            providers: onnxruntime's execution providers, in order of preference.
            in_memory: there may be no such file here, so that the content is kept.
        """
        if METADATA_KEY not in file.metadata:
            raise ArtifactError(
                f"{path} is an ONNX model, but was not written by mien: it lacks the metadata {METADATA_KEY!r}. "
                "Use a file written by `mien export`"
            )
        if len(file.metadata) > 1:
            others = ", ".join(repr(name)[:40] for name in file.metadata if name != METADATA_KEY)
            raise ArtifactError(
                f"{path} has metadata that mien does not write: {others[:200]}. Use the file as written by `mien export`"
            )
        if threads is not None and (threads < 1 or threads != int(threads)):
            raise ValueError(
                f"`threads` must be an integer of 1 or more, or None for all cores, got {threads}"
            )
        self.path, self.threads, self.providers = path, threads, tuple(providers)
        self.info = ModelInfo.from_json(file.metadata[METADATA_KEY], where=str(path))
        self.sha256 = file.sha256 or file.compute_sha256()
        self._file_in_memory = file if in_memory else None
        try:
            # The session gets the very bytes whose hash was verified.
            self._session = OnnxSession(
                file.content,
                read_again=self.content,
                threads=threads,
                providers=self.providers,
            )
        except MienError:
            raise
        except Exception as error:  # noqa: BLE001 - onnxruntime raises exceptions of its own, and RuntimeError
            raise ArtifactError(
                f"{path} is not a loadable ONNX model: {_one_line(error)}. Copy it again, or export it again"
            ) from None
        self._require_matching_metadata()
        size = self.info.input_size
        ramp = (np.arange(size * size * 3) % 256).astype(np.uint8).reshape(1, size, size, 3)
        self._compute(np.concatenate([ramp, np.zeros_like(ramp)]))

    @classmethod
    def load(
        cls, path: Path, threads: int | None = None, *, providers: Sequence[Provider] = (CPU_PROVIDER,)
    ) -> "OnnxModel":
        """Load a model file.

        Args:
            path: the file.
            threads: number of threads per call, or None for one per core.
            providers: onnxruntime's execution providers, in order of preference.

        Raises:
            ArtifactError: the file is missing, not an ONNX model written by mien, or changed since it was written.
            ModelError: its outputs for two test images do not match its metadata, or a provider cannot be started.
        """
        if not path.is_file():
            raise ArtifactError(f"Model {path} does not exist. Make one with `mien export RUN --out {path}`")
        return cls(path, read_model_file(path), threads=threads, providers=providers)

    def with_threads(self, threads: int) -> "OnnxModel":
        """Return the same model with another number of threads per call."""
        in_memory = self._file_in_memory is not None
        file = self._read_again()
        return OnnxModel(self.path, file, threads=threads, providers=self.providers, in_memory=in_memory)

    def content(self) -> bytes:
        """Return the bytes of the model file.

        Raises:
            ArtifactError: it cannot be read, or is not what was loaded.
        """
        return self._read_again().content

    def _read_again(self) -> ModelFile:
        """Read the file once more.

        Raises:
            ArtifactError: it cannot be read, or is not what was loaded.
        """
        if self._file_in_memory is not None:
            return self._file_in_memory
        try:
            file = read_model_file(self.path)
        except ArtifactError as error:
            raise ArtifactError(
                f"{error}. It was there when the model was loaded, and is read again for a pickle, a forked process or another "
                "number of threads: put it back, or load the model from where the file is now"
            ) from None
        if (file.sha256 or file.compute_sha256()) != self.sha256:
            raise ArtifactError(f"{self.path} has changed since the model was loaded. Load it again")
        return file

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the content of the file, so that the model travels to a machine without it."""
        return _unpickle, (self.path, self.content(), self.threads, self.providers)

    def __deepcopy__(self, _memo: object) -> "OnnxModel":
        """Return the model itself, which never changes."""
        return self

    def _require_matching_metadata(self) -> None:
        info, size = self.info, self.info.input_size
        required = {INPUT_NAME: ("tensor(uint8)", [size, size, 3])}
        required |= {task: ("tensor(float)", shape) for task, shape in info.output_shapes().items()}
        required[FEATURES_NAME] = ("tensor(float)", [self.n_features])
        tensors = [*self._session.get_inputs(), *self._session.get_outputs()]
        found = {tensor.name: (tensor.type, tensor.shape[1:]) for tensor in tensors}
        is_dynamic = all(tensor.shape and not isinstance(tensor.shape[0], int) for tensor in tensors)
        if found != required or len(tensors) != len(required) or not is_dynamic:
            description = "; ".join(f"{tensor.name} {tensor.type} {tensor.shape}" for tensor in tensors)
            raise ArtifactError(
                f"The metadata of {self.path} does not describe its network: the network has {description[:200]!r}, the "
                f"metadata {len(info.classes)} classes, tasks {', '.join(info.tasks)} and input size {size}; it must also return "
                f"{FEATURES_NAME!r} (N, F), and the first dimension must be dynamic. Export it again"
            )

    def run(self, images_rgb: NDArray[np.uint8]) -> Values:
        """Run the model on face crops.

        Args:
            images_rgb: ``(N, S, S, 3)`` uint8, S the model's ``input_size``.

        Returns:
            ``(N, *shape)`` float32 by task; the expression's are probabilities, whose rows sum to 1.

        Raises:
            ValueError: wrong shape or dtype.
            ModelError: the model fails, or its outputs are not finite or out of range.
        """
        return self._compute(images_rgb)

    def run_with_features(self, images_rgb: NDArray[np.uint8]) -> tuple[Values, NDArray[np.float32]]:
        """Run the model on face crops, see `run`; return its outputs, and the features ``(N, n_features)`` too."""
        outputs = self._compute(images_rgb, FEATURES_NAME)
        return outputs, outputs.pop(FEATURES_NAME)

    @property
    def n_features(self) -> int:
        """The length of a face's features, which the expression's linear layer takes; 0 if the network does not fix it."""
        shapes = [output.shape for output in self._session.get_outputs() if output.name == FEATURES_NAME]
        return shapes[0][1] if shapes and len(shapes[0]) == 2 and isinstance(shapes[0][1], int) else 0

    def _compute(self, images_rgb: NDArray[np.uint8], *further: str) -> Values:
        size = self.info.input_size
        if images_rgb.dtype != np.uint8 or images_rgb.shape[1:] != (size, size, 3):
            raise ValueError(
                f"`images_rgb` must be uint8 (N, {size}, {size}, 3), got {images_rgb.dtype} {images_rgb.shape}"
            )
        names = [*self.info.tasks, *further]
        try:
            values = self._session.run(names, {INPUT_NAME: images_rgb})
        except MienError:
            raise  # in a forked process, the file cannot be read again
        except Exception as error:
            raise ModelError(f"Model {self.path} fails: {_one_line(error)}. Export it again") from error
        outputs = dict(zip(names, values, strict=True))
        shapes = self.info.output_shapes() | {name: [self.n_features] for name in further}
        for name, shape in shapes.items():
            self._require_valid(name, outputs[name], (len(images_rgb), *shape))
        return outputs

    def _require_valid(self, task: str, values: NDArray[np.float32], shape: tuple[int, ...]) -> None:
        if values.shape != shape:
            raise ModelError(
                f"Model {self.path} returns {task} of shape {values.shape}, expected {shape}. Export it again"
            )
        if not np.isfinite(values).all():
            raise ModelError(
                f"Model {self.path} returns {task} values that are not finite. "
                "Its training diverged: look at the run's curves, and train it again"
            )
        if task == FEATURES_NAME:
            return
        low, high = TASKS[task].limits(self.info.annotations) or (-np.inf, np.inf)
        is_outside = values.size and (values.min() < low - TOLERANCE or values.max() > high + TOLERANCE)
        if is_outside or (task == "expression" and (np.abs(values.sum(axis=1) - 1) > TOLERANCE).any()):
            raise ModelError(
                f"Model {self.path} returns invalid {task} values: they must be from {low:g} to {high:g}, and the "
                "probabilities of the expressions must sum to 1. Export it again"
            )

    def run_batches(
        self, batches: Iterable[NDArray[np.uint8]], *, progress: Progress | None = None
    ) -> Values:
        """Run the model on one or more batches, see `run`; return their outputs together, in order."""
        parts = []
        for images_rgb in batches:
            parts.append(self.run(images_rgb))
            if progress is not None:
                progress.advance(len(images_rgb))
        return concatenate(parts)

    def run_batches_with_features(
        self, batches: Iterable[NDArray[np.uint8]], *, progress: Progress | None = None
    ) -> tuple[Values, NDArray[np.float32]]:
        """Do the same as `run_batches`, and return the features too."""
        parts = []
        for images_rgb in batches:
            parts.append(self.run_with_features(images_rgb))
            if progress is not None:
                progress.advance(len(images_rgb))
        outputs, features = zip(*parts, strict=True)
        return concatenate(outputs), np.concatenate(features)
