"""Choose `--min-confidence` on labeled faces: python choose_threshold.py REPORT [--accuracy 0.9]

Reads predictions.csv of a report of `mien evaluate`. For each threshold it prints how many faces keep an expression, and
how many of these are right. A threshold that is chosen on a split must be measured on another.
"""

import argparse
import csv
from pathlib import Path


def read_predictions(report: Path) -> list[tuple[float, bool]]:
    """Return the confidence of each face, and whether its expression is right."""
    with (report / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        (
            max(float(value) for name, value in row.items() if name.startswith("p_")),
            row["predicted"] == row["true"],
        )
        for row in rows
    ]


def main() -> None:
    """Print the table, and the lowest threshold that reaches the accuracy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path, help="folder written by `mien evaluate`")
    parser.add_argument("--accuracy", type=float, default=0.9, help="what you need, 0 to 1 (default: 0.9)")
    options = parser.parse_args()
    faces = read_predictions(options.report)
    chosen = None
    print("threshold  faces kept  accuracy of these")
    for percent in range(0, 100, 5):
        kept = [is_right for confidence, is_right in faces if confidence >= percent / 100]
        if not kept:
            break
        accuracy = sum(kept) / len(kept)
        print(f"{percent / 100:9.2f}  {len(kept) / len(faces):9.1%}  {accuracy:9.1%} (n = {len(kept):,})")
        if chosen is None and accuracy >= options.accuracy:
            chosen = percent / 100
    if chosen is None:
        print(f"No threshold reaches {options.accuracy:.0%}.")
    else:
        print(f"--min-confidence {chosen:g} reaches {options.accuracy:.0%} on these faces.")


if __name__ == "__main__":
    main()
