"""Let the conformance kit judge the crops of `crops.cpp` and, if it is given, the predictions of `main.cpp`.

python conformance/build.py && python -m zipfile -e build/mien-conformance.zip build
g++ -std=c++17 -O2 -Wall -Wextra examples/cpp/crops.cpp -o build/crops
python examples/cpp/kit_cases.py build/mien-conformance build/crops [build/mien_face]
"""

import base64
import json
import subprocess
import sys
from pathlib import Path


def run_crops(program: Path, kit_dir: Path) -> list[dict[str, str]]:
    """Return the results of the program for the kit's crops."""
    kit = json.loads((kit_dir / "conformance.json").read_text(encoding="utf-8"))
    lines = []
    for case in kit["crops"]:
        words = [case["crop"]["method"], case["crop"]["margin"], case["crop"]["size"], case["input_size"]]
        if case["anchors"] is not None:
            words += ["anchors", *(value for point in case["anchors"] for value in point)]
        if case["box_xyxy"] is not None:
            words += ["box", *case["box_xyxy"]]
        lines.append(" ".join(map(str, words)) + "\n")
    command = [str(program), str(kit_dir / kit["image"]["file"]), *map(str, kit["image"]["size_wh"])]
    done = subprocess.run(command, input="".join(lines).encode(), capture_output=True, check=True)
    results, start = [], 0
    for case, method in zip(kit["crops"], done.stderr.decode().split(), strict=True):
        end = start + case["input_size"] ** 2 * 3
        rgb = base64.b64encode(done.stdout[start:end]).decode()
        results.append({"name": case["name"], "method": method, "rgb": rgb})
        start = end
    return results


def run_predictions(program: Path, kit_dir: Path) -> list[dict[str, object]]:
    """Return the results of the program for the kit's predictions."""
    kit = json.loads((kit_dir / "conformance.json").read_text(encoding="utf-8"))
    image = [kit_dir / kit["image"]["file"], *kit["image"]["size_wh"]]
    results = []
    for case in kit["predictions"]:
        place = case["box_xyxy"] or [value for point in case["anchors"] or [] for value in point]
        command = map(str, [program, kit_dir / kit["model"]["file"], *image, *place])
        printed = subprocess.run([*command], capture_output=True, check=True, text=True).stdout
        rows = [line.rsplit(" ", 1) for line in printed.splitlines()]
        n_classes = len(kit["model"]["classes"])
        results.append(
            {
                "name": case["name"],
                "probabilities": [float(value) for _, value in rows[:n_classes]],
                "landmarks": [[float(x), float(y)] for x, y in rows[n_classes:]] or None,
                "valence_arousal": None,
            }
        )
    return results


def main() -> None:
    """Print the kit's verdict."""
    kit_dir, *programs = map(Path, sys.argv[1:])
    sys.path.insert(0, str(kit_dir))
    import check  # noqa: PLC0415 - it is in the kit

    kit = json.loads((kit_dir / "conformance.json").read_text(encoding="utf-8"))
    parts = (
        ("crops", check.compare_crops, run_crops),
        ("predictions", check.compare_predictions, run_predictions),
    )
    conformant = True
    for program, (part, compare, run) in zip(programs, parts, strict=False):
        for name, value in compare(kit, run(program, kit_dir)).items():
            limit = kit["tolerances"][part][name]
            conformant &= value <= limit
            print(f"{part}, {len(kit[part])} cases: {name} {value:.3g}, at most {limit:g}")
    sys.exit(0 if conformant else 1)


if __name__ == "__main__":
    main()
