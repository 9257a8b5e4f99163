"""What is written of an explained face: its maps as PNG files, and its entry in explain.json."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mien.drawing.heat_map import draw_heat
from mien.explain.page import ExplainedFace
from mien.inference.results import FacePrediction

# explain.json has a map as means over so many cells along each side.
MAP_CELLS = 16
DECIMALS = 4
METHODS = {
    "occlusion": "drop in the log-odds of the class where the crop is blurred",
    "gradients": "contribution to the log-odds of the class, by integrated gradients",
}


def write_maps(folder: Path, number: int, face: ExplainedFace) -> dict[str, str]:
    """Write the crop and its maps, and return the names of the files by what they show."""
    name = f"{number:04d}"
    crop_rgb = face.explanation.crop_rgb
    images = {"crop": crop_rgb} | {method: draw_heat(crop_rgb, heat) for method, heat in face.maps().items()}
    files = {}
    for kind, image_rgb in images.items():
        file = folder / f"{name}_{kind}.png"
        Image.fromarray(image_rgb).save(file)
        files[kind] = f"{folder.name}/{file.name}"
    return files


def describe_face(face: ExplainedFace, files: dict[str, str]) -> dict[str, Any]:
    """Return the entry of a face in explain.json."""
    explanation = face.explanation
    cells = {
        method: cv2.resize(heat, (MAP_CELLS, MAP_CELLS), interpolation=cv2.INTER_AREA)
        for method, heat in face.maps().items()
    }
    return {
        **describe_image(explanation.prediction),
        "label": face.label,
        "target": explanation.target,
        "target_probability": round(explanation.probability, 6),
        "crop": files["crop"],
        "maps": {
            method: {
                "file": files[method],
                "values": METHODS[method],
                "cells": np.round(means.astype(np.float64), DECIMALS).tolist(),
            }
            for method, means in cells.items()
        },
        "regions": {
            name: {key: round(value, DECIMALS) for key, value in share._asdict().items()}
            for name, share in explanation.regions.items()
        },
        "neighbors": None
        if face.neighbors is None
        else [
            {"key": one.key, "label": one.label, "similarity": round(one.similarity, DECIMALS)}
            for one in face.neighbors
        ],
        "confusion": face.confusion,
    }


def describe_image(row: FacePrediction) -> dict[str, Any]:
    """Return the entry of an image without an explained face."""
    empty = dict.fromkeys(
        ("label", "target", "target_probability", "crop", "maps", "regions", "neighbors", "confusion")
    )
    return {"prediction": row.to_dict(), **empty}
