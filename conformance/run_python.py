"""Run mien itself through the conformance kit, and write its results.

    python conformance/run_python.py KIT --out results.json

KIT is the unpacked archive. Without YuNet's file, the parts that need it are left out.
"""

import argparse
import base64
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mien
from mien.faces.crop import CropContract, crop_image, crop_matrix, resize_crop
from mien.faces.detector import YuNetDetector
from mien.faces.detector_file import cached_detector_file, named_detector_file
from mien.formats.class_fractions import read_class_fractions
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule


def run_kit(kit_dir: Path, detector_file: Path | None) -> dict[str, Any]:
    """Return the results of this installation for a kit."""
    kit = json.loads((kit_dir / "conformance.json").read_text(encoding="utf-8"))
    width, height = kit["image"]["size_wh"]
    image_rgb = np.frombuffer((kit_dir / kit["image"]["file"]).read_bytes(), np.uint8).reshape(
        height, width, 3
    )
    model = OnnxModel.load(kit_dir / kit["model"]["file"])
    results: dict[str, Any] = {
        "format_version": kit["format_version"],
        "runtime": f"mien {mien.__version__}, Python, onnxruntime {version('onnxruntime')}",
        "crops": [],
        "predictions": [],
        "priors": [],
    }
    for case in kit["crops"]:
        crop, method = _crop(image_rgb, case)
        rgb = base64.b64encode(crop.tobytes()).decode()
        results["crops"].append({"name": case["name"], "method": method, "rgb": rgb})
    fractions = read_class_fractions(model.info)
    for case, priors in zip(kit["predictions"], kit["priors"], strict=True):
        outputs = model.run(_crop(image_rgb, case)[0][None])
        results["predictions"].append(
            {
                "name": case["name"],
                "probabilities": outputs["expression"][0].tolist(),
                **{
                    task: outputs[task][0].tolist()
                    for task in ("landmarks", "valence_arousal")
                    if task in outputs
                },
            }
        )
        given = np.array(priors["as-trained"])
        results["priors"].append(
            {
                prior: list(
                    DecisionRule(prior=prior).decide(given, model.info.classes, fractions)[2].values()
                )
                for prior in priors
            }
        )
    if detector_file is not None:
        results |= _run_detector(kit, kit_dir, image_rgb, detector_file)
    return results


def _crop(image_rgb: NDArray[np.uint8], case: dict[str, Any]) -> tuple[NDArray[np.uint8], str]:
    contract = CropContract(**case["crop"])
    anchors, box = (None if case[key] is None else np.array(case[key]) for key in ("anchors", "box_xyxy"))
    matrix, method = crop_matrix(contract, image_rgb.shape[1::-1], anchors=anchors, box_xyxy=box)
    return resize_crop(crop_image(image_rgb, matrix, contract.size), case["input_size"]), method


def _run_detector(
    kit: dict[str, Any], kit_dir: Path, image_rgb: NDArray[np.uint8], detector_file: Path
) -> dict[str, Any]:
    detector, detections = YuNetDetector(detector_file), []
    for case in kit["detections"]:
        width, height = case["size_wh"]
        rows = np.arange(height) * image_rgb.shape[0] // height
        columns = np.arange(width) * image_rgb.shape[1] // width
        faces = [
            {
                "box_xyxy": face.box_xyxy.tolist(),
                "score": face.score,
                "points": np.array(face.points).tolist(),
            }
            for face in detector.find_faces(np.ascontiguousarray(image_rgb[rows][:, columns]))
        ]
        detections.append({"size_wh": case["size_wh"], "faces": faces})
    model = mien.load(kit_dir / kit["model"]["file"], detector=detector_file)
    faces = [
        {
            **face.to_dict(),
            "probabilities": list((face.probabilities or {}).values()),
            "valence_arousal": None if face.valence is None else [face.valence, face.arousal],
        }
        for face in model.predict(image_rgb)
    ]
    return {"detections": detections, "faces": faces}


def main() -> None:
    """Write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kit", type=Path, help="unpacked conformance kit")
    parser.add_argument("--out", type=Path, required=True, metavar="RESULTS.json")
    args = parser.parse_args()
    detector_file = named_detector_file() or cached_detector_file()
    results = run_kit(args.kit, detector_file if detector_file.is_file() else None)
    args.out.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
