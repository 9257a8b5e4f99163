"""Write the table of datasets in docs/guide/data.md from the registry; a test compares the two."""

from pathlib import Path

from mien.datasets.registry import DATASETS

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "data.md"
BEGIN, END = "<!-- written by tools/dataset_table.py -->\n", "<!-- end of the table -->\n"


def build_table() -> str:
    """Return the table in Markdown."""
    lines = ["| kind | set | RAW holds | crop | options | terms of use |", "|---|---|---|---|---|---|"]
    for name, kind in DATASETS.items():
        options = " ".join(f"`{flag}`" for flag in kind.flags)
        cells = [
            f"`{name}`",
            kind.title,
            kind.layout,
            kind.natural_crop,
            options,
            kind.terms or "state them with `--terms`",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Replace the table in the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + build_table() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
