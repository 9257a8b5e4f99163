"""explain.html: one self-contained page with the maps of each face."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

import mien
from mien.drawing.heat_map import encode_heat
from mien.faces.images import encode_jpeg, image_uri
from mien.inference.explanation import Explanation
from mien.runtime.language import Language

if TYPE_CHECKING:
    from mien.explain.pack_faces import Neighbor

_TEMPLATE = "explain.html.j2"
# More would make the page heavy: the rest is in explain.json and the PNG files.
MAX_FACES = 200
# Sides of what the page embeds, in pixels.
CROP_SIDE, THUMBNAIL_SIDE = 224, 64


class ExplainedFace(NamedTuple):
    """A face and all that explains its answer.

    Attributes:
        explanation: with the map by occlusion.
        label: the class it is labeled with; None if it is not known.
        gradients: ``(S, S)`` the map by integrated gradients, or None.
        confusion: how often such an answer is right, see `Confusion.describe`, or None.
        neighbors: the most similar training faces, or None.
    """

    explanation: Explanation
    label: str | None
    gradients: NDArray[np.float32] | None
    confusion: dict[str, Any] | None
    neighbors: "list[Neighbor] | None" = None

    def maps(self) -> dict[str, NDArray[np.float32]]:
        """Return the maps ``(S, S)`` by method; that of gradients is smoothed as it is drawn."""
        maps = {"occlusion": self.explanation.occlusion}
        if self.gradients is not None:
            # Single pixels are noise to the eye; smoothing moves contributions but keeps their sum.
            sigma = self.gradients.shape[0] / 32
            maps["gradients"] = np.asarray(cv2.GaussianBlur(self.gradients, (0, 0), sigma), dtype=np.float32)
        return maps

    def most_important(self) -> str | None:
        """Return the part of the face that counts most for its size; None without landmarks or support."""
        dense = {
            name: part.share / part.area
            for name, part in self.explanation.regions.items()
            if part.area > 0 and part.share > 0
        }
        return max(dense, key=lambda name: dense[name], default=None)

    def __str__(self) -> str:
        explanation = self.explanation
        line = f"{explanation.prediction.source}: {explanation.target} {explanation.probability:.0%}"
        if self.label is not None:
            line += f", labeled {self.label}"
        part = self.most_important()
        if part is not None:
            share = explanation.regions[part]
            line += f"; looks most at the {part}: {share.share:.0%} of the support on {share.area:.0%} of the crop"
        return line


def write_page(
    path: Path,
    faces: Sequence[ExplainedFace],
    entries: Sequence[dict[str, Any]],
    model_name: str,
    *,
    language: Language,
) -> None:
    """Write the page.

    Args:
        path: path of explain.html.
        faces: the first explained faces, at most `MAX_FACES`.
        entries: those of explain.json, of all faces and of images without one.
        model_name: name of the model file.
        language: of the page.
    """
    from mien.drawing.html_page import open_templates  # noqa: PLC0415 - Jinja2 loads slowly

    page = (
        open_templates(Path(__file__).parent, language)
        .get_template(_TEMPLATE)
        .render(
            faces=[
                {
                    "face": face,
                    "explanation": face.explanation,
                    "crop": _jpeg_uri(face.explanation.crop_rgb, CROP_SIDE),
                    "maps": {method: encode_heat(heat) for method, heat in face.maps().items()},
                    "probabilities": list((face.explanation.prediction.probabilities or {}).items()),
                    "neighbors": [
                        (one, _jpeg_uri(one.image_rgb, THUMBNAIL_SIDE)) for one in face.neighbors or ()
                    ],
                }
                for face in faces
            ],
            n_faces=sum(entry["maps"] is not None for entry in entries),
            without_face=[entry["prediction"] for entry in entries if entry["maps"] is None],
            model_name=model_name,
            mien_version=mien.__version__,
        )
    )
    path.write_text(page, encoding="utf-8")


def _jpeg_uri(image_rgb: NDArray[np.uint8], side: int) -> str:
    """Return a face as a data URI, no larger than ``side`` pixels."""
    if image_rgb.shape[0] > side:
        image_rgb = np.asarray(
            cv2.resize(image_rgb, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    return image_uri(encode_jpeg(image_rgb))
