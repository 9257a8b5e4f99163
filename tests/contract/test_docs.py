"""What the documentation says about messages and pages is true of the code."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def strings() -> str:
    """All string constants of the package; a formatted string has several."""
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "src" / "mien").rglob("*.py"))
    found = [
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n".join(found)


@pytest.mark.parametrize("page", ["troubleshooting.md", "zh/troubleshooting.md"])
def test_messages_that_are_explained_exist(strings: str, page: str) -> None:
    """The first cell of each row quotes fixed words of a message, or a status."""
    text = (DOCS / page).read_text("utf-8")
    quoted = [
        word
        for cell in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
        for word in re.findall(r"`([^`]+)`", cell)
    ]
    assert len(quoted) > 25
    assert [words for words in quoted if words not in strings] == []


def test_every_page_is_in_the_navigation_of_both_sites() -> None:
    """And nothing is in it that does not exist."""
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if "zh" not in path.parts}
    for name in ("zensical.toml", "zensical.zh.toml"):
        navigation = str(tomllib.loads((ROOT / name).read_text("utf-8"))["project"]["nav"])
        assert set(re.findall(r"[\w/-]+\.md", navigation)) == pages, name


def test_chinese_pages_replace_english_ones() -> None:
    """A page of docs/zh has the name of an English one; the most used ones are there."""
    chinese = {path.relative_to(DOCS / "zh") for path in (DOCS / "zh").rglob("*.md")}
    assert {
        Path("index.md"),
        *(Path(f"guide/{name}.md") for name in ("predict", "prepare", "train", "evaluate")),
    } <= chinese
    assert [page for page in chinese if not (DOCS / page).is_file()] == []


def test_chinese_pages_link_to_chinese_ones() -> None:
    """A link to an English page that exists in Chinese would lead a reader out of their language, unless it says so."""
    english = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [ROOT / "README.zh-CN.md", *(DOCS / "zh").rglob("*.md")]
        for target in re.findall(r"(?<!\[英文版页面)\]\(([^)#:\s]+\.md)", page.read_text("utf-8"))
        if (linked := (page.parent / target).resolve()).is_relative_to(DOCS)
        and (DOCS / "zh" / linked.relative_to(DOCS)).is_file()
    ]
    assert english == []


def test_emphasis_next_to_chinese_is_rendered() -> None:
    """Markdown takes `**` between punctuation and a letter for two asterisks: a space has to follow, as in `**问？** 答`."""
    literal = [
        f"{page.relative_to(ROOT)}: {span}"
        for page in [ROOT / "README.zh-CN.md", *(DOCS / "zh").rglob("*.md")]
        for span, after in re.findall(r"\*\*([^*\n]+)\*\*(\w?)", page.read_text("utf-8"))
        if after and not re.search(r"\w$", span)
    ]
    assert literal == []
