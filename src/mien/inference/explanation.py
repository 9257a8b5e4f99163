"""Why a model answers as it does for a face: the map of what the answer depends on, and its shares by part of the face."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.faces.regions import region_masks
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule, sort_by_probability
from mien.inference.occlusion import STEPS, occlusion_map
from mien.inference.pipeline import CroppedImage, infer, postprocess_face
from mien.inference.results import FacePrediction
from mien.runtime.suggestion import did_you_mean
from mien.tasks import Values


class RegionShare(NamedTuple):
    """A part of the face.

    Attributes:
        share: of what speaks for the answer, the fraction that lies in the part; 0 if nothing does.
        area: the fraction of the crop that the part covers.
    """

    share: float
    area: float


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why a face got its answer.

    Attributes:
        prediction: the row of the face.
        target: the class that is explained.
        probability: the model's probability of it.
        crop_rgb: ``(S, S, 3)`` uint8, what the model sees.
        occlusion: ``(S, S)`` float32: by how much the log-odds of the class fall where the crop is hidden; negative where
            they rise.
        regions: by part of the face, see `mien.faces.regions`; empty if the model has no landmarks.
        output: the model's output for the face, ``(*shape)`` by task.
    """

    prediction: FacePrediction
    target: str
    probability: float
    crop_rgb: NDArray[np.uint8] = field(repr=False)
    occlusion: NDArray[np.float32] = field(repr=False)
    regions: dict[str, RegionShare]
    output: Values = field(repr=False)

    def draw(self) -> NDArray[np.uint8]:
        """Return the crop with the map on it, ``(384, 384, 3)`` uint8 RGB."""
        from mien.drawing.heat_map import draw_heat  # noqa: PLC0415 - drawing lies above, see `ImagePrediction.draw`

        return draw_heat(self.crop_rgb, self.occlusion)


def require_class(target: str | None, model: OnnxModel) -> None:
    """Require that a model knows a class.

    Raises:
        ModelError: it does not.
    """
    classes = model.info.classes
    if target is not None and target not in classes:
        raise ModelError(
            f"The class to explain must be one of the model's, {', '.join(classes)}, got {target!r}"
            f"{did_you_mean(target, classes)}"
        )


def explain_faces(
    image: CroppedImage,
    model: OnnxModel,
    *,
    rule: DecisionRule | None = None,
    target: str | None = None,
    steps: int = STEPS,
) -> Iterator[Explanation]:
    """Yield an explanation for each face of a preprocessed image; none for an unreadable one.

    Args:
        image: the image.
        model: the model.
        rule: how probabilities become an expression.
        target: the class to explain; None: the most probable one.
        steps: see `occlusion_map`.

    Raises:
        ModelError: the model does not know the class, or its output is not finite.
    """
    require_class(target, model)
    rule, info = rule or DecisionRule(), model.info
    outputs = infer([face.crop for face in image.faces], model)
    for index, (face, output) in enumerate(zip(image.faces, outputs, strict=True)):
        prediction = postprocess_face(image.source, index, face, output, info, rule)
        name = target or sort_by_probability(prediction.probabilities or {})[0][0]
        number = info.classes.index(name)
        heat = occlusion_map(face.crop, number, lambda crops: model.run(crops)["expression"], steps=steps)
        shares = share_by_region(heat, output["landmarks"]) if "landmarks" in output else {}
        probability = float(output["expression"][number])
        yield Explanation(prediction, name, probability, face.crop, heat, shares, output)


def share_by_region(heat: NDArray[np.floating], landmarks: NDArray[np.floating]) -> dict[str, RegionShare]:
    """Return how what speaks for the answer is spread over the parts of a face, by name.

    Args:
        heat: ``(S, S)``.
        landmarks: ``(68, 2)`` fractions of the crop.
    """
    positive = np.maximum(heat, 0)
    total = float(positive.sum())
    return {
        name: RegionShare(float(positive[mask].sum()) / total if total > 0 else 0.0, float(mask.mean()))
        for name, mask in region_masks(landmarks, heat.shape[0]).items()
    }
