"""Links of Markdown pages that leave the folder they are published in.

The address of the repository stands in one place, ``[project.urls]`` of pyproject.toml. As long as it is not there, such
links become plain text.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#|/)([^)\s]+)\)")


def repository_address() -> str | None:
    """Return the address of the repository without a final slash, or None if pyproject.toml does not have it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    address = project.get("urls", {}).get("Repository")
    return address.rstrip("/") if address else None


def rewrite_links(text: str, page: Path, folder: Path, address: str | None, *, root: Path = ROOT) -> str:
    """Return a page's text with links to files outside a folder pointing into the repository.

    Args:
        text: Markdown.
        page: the file that it is from.
        folder: what is published; links within it stay.
        address: the repository, or None, which makes links plain text. Images without an address stay.
        root: the checkout.
    """

    def rewrite(found: re.Match[str]) -> str:
        image, label, target = found.groups()
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve()
        if linked.is_relative_to(folder.resolve()) and linked != folder.resolve():
            return found[0]
        if address is None:
            return found[0] if image else label
        kind = "raw" if image else "tree" if linked.is_dir() else "blob"
        where = f"{address}/{kind}/main/{linked.relative_to(root.resolve()).as_posix()}"
        return f"{image}[{label}]({where}{f'#{anchor}' if anchor else ''})"

    return _LINK.sub(rewrite, text)
