"""Find words that the glossary in CONTRIBUTING.md replaces, in code, docs and page. Run by `make check`."""

import re
import subprocess
import sys
from pathlib import Path

# A line with this comment holds a name that others chose, such as a URL.
EXEMPT = "# not our word"
ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "CONTRIBUTING.md"
SUFFIXES = (".py", ".md", ".yaml", ".toml", ".j2", ".ts", ".html", ".mjs", "Makefile")
# The glossary itself, files that are built, and texts of others.
LEFT_OUT = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "README.zh-CN.md",
    ".zh-CN.md",
    "serve/static/",
    "page/src/locales/zh.ts",
)


def main() -> int:
    """Print every line that has such a word; return 1 if there is one."""
    replaced = read_glossary(GLOSSARY.read_text(encoding="utf-8"))
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [
        name
        for name in listed.splitlines()
        if name.endswith(SUFFIXES) and not any(x in name for x in LEFT_OUT)
    ]
    n_found = 0
    for name in names:
        path = ROOT / name
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for pattern, instead in replaced if EXEMPT not in line else ():
                if match := pattern.search(line):
                    n_found += 1
                    print(f"{name}:{number}: {match.group()!r}: say {instead}")
    print(f"{n_found} words of the glossary's left column in {len(names)} files")
    return int(n_found > 0)


def read_glossary(text: str) -> list[tuple[re.Pattern[str], str]]:
    """Return the patterns of the glossary's first column with the second: rows `| not | but |` after its heading."""
    table = text.partition("## Glossary")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    return [
        # Parts of identifiers count: `film` is found in `read_film` too.  # not our word
        (
            re.compile(
                rf"(?<![^\W_])({'|'.join(map(str.strip, cells[0].split(';')))})(?![^\W_])", re.IGNORECASE
            ),
            cells[1],
        )
        for cells in rows[2:]
    ]


if __name__ == "__main__":
    sys.exit(main())
