"""Links of pages that are published outside the repository."""

import runpy
from pathlib import Path

import pytest

rewrite_links = runpy.run_path(str(Path(__file__).parents[3] / "tools" / "links.py"))["rewrite_links"]
ADDRESS = "https://example.org/team/mien"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a page in docs/guide."""
    for name in ("docs/guide/train.md", "docs/formats.md", "src/recipes/a.yaml", "image.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("[formats](../formats.md#pack)", "[formats](../formats.md#pack)", id="within"),
        pytest.param("[a](../../src/recipes/a.yaml)", f"[a]({ADDRESS}/blob/main/src/recipes/a.yaml)", id="file"),
        pytest.param("[`all`](../../src/recipes)", f"[`all`]({ADDRESS}/tree/main/src/recipes)", id="folder"),
        pytest.param("[a](../../src/recipes/a.yaml#x)", f"[a]({ADDRESS}/blob/main/src/recipes/a.yaml#x)", id="heading"),
        pytest.param("![an image](../../image.png)", f"![an image]({ADDRESS}/raw/main/image.png)", id="image"),
        pytest.param("[b](https://b.org/c) [d](#e) [f](/g)", "[b](https://b.org/c) [d](#e) [f](/g)", id="others"),
    ],
)  # fmt: skip
def test_links_that_leave_the_site_point_into_the_repository(root: Path, text: str, expected: str) -> None:
    page = root / "docs" / "guide" / "train.md"
    assert rewrite_links(text, page, root / "docs", ADDRESS, root=root) == expected


def test_without_an_address_they_become_text(root: Path) -> None:
    """An image stays: in a checkout it is shown."""
    page = root / "docs" / "guide" / "train.md"
    text = "See [all of them](../../src/recipes) and ![an image](../../image.png)."
    expected = "See all of them and ![an image](../../image.png)."
    assert rewrite_links(text, page, root / "docs", None, root=root) == expected
