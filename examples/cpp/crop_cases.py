"""Let the conformance kit judge the crops of `crops.cpp`.

python conformance/build.py && python -m zipfile -e build/mien-conformance.zip build
g++ -std=c++17 -O2 -Wall -Wextra examples/cpp/crops.cpp -o build/crops
python examples/cpp/crop_cases.py build/crops build/mien-conformance
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


def main() -> None:
    """Print the kit's verdict on the crops."""
    program, kit_dir = map(Path, sys.argv[1:3])
    sys.path.insert(0, str(kit_dir))
    import check  # noqa: PLC0415 - it is in the kit

    kit = json.loads((kit_dir / "conformance.json").read_text(encoding="utf-8"))
    worst = check.compare_crops(kit, run_crops(program, kit_dir))
    limit = kit["tolerances"]["crops"]["mean_difference"]
    print(f"{len(kit['crops'])} crops: mean difference {worst['mean_difference']:.3g}, at most {limit:g}")
    sys.exit(0 if worst["mean_difference"] <= limit else 1)


if __name__ == "__main__":
    main()
