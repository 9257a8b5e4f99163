"""Build the documentation site into build/site: English, and Chinese in its folder zh. `make docs` runs this.

The Chinese site has every page: those in docs/zh replace the English ones of the same name. Both are built strictly: a
link to a page, a heading or an image that does not exist stops the build.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from links import ROOT, repository_address, rewrite_links

BUILD = ROOT / "build"
DOCS, CHINESE = ROOT / "docs", ROOT / "docs" / "zh"


def main() -> int:
    """Build both languages and check the links between them."""
    address = repository_address()
    for language in ("en", "zh"):
        shutil.rmtree(BUILD / "docs" / language, ignore_errors=True)
    pages = sorted(path for path in DOCS.rglob("*") if path.is_file())
    for page in pages:
        if not page.is_relative_to(CHINESE):
            for language in ("en", "zh"):
                copy_page(page, BUILD / "docs" / language / page.relative_to(DOCS), address)
    for page in pages:
        if page.is_relative_to(CHINESE):
            copy_page(page, BUILD / "docs" / "zh" / page.relative_to(CHINESE), address)
    shutil.rmtree(BUILD / "site", ignore_errors=True)
    for config in ("zensical.toml", "zensical.zh.toml"):
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", config]
        if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
            return code
    broken = sorted(find_broken_links(BUILD / "site"))
    print(*broken, sep="\n", end="\n" if broken else "")
    return bool(broken)


def copy_page(page: Path, copy: Path, address: str | None) -> None:
    """Copy a page with links that are valid in the site, or any other file as it is."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    if page.suffix != ".md":
        shutil.copyfile(page, copy)
        return
    text = rewrite_links(page.read_text("utf-8"), page, DOCS, address)
    if page.is_relative_to(CHINESE):
        # In the repository the English pages are one folder higher.
        depth = len(page.relative_to(CHINESE).parts) - 1
        text = re.sub(rf"\]\({re.escape('../' * (depth + 1))}(?=\w)", f"]({'../' * depth}", text)
    copy.write_text(text, "utf-8")


def find_broken_links(site: Path) -> set[str]:
    """Return the links of built pages to files that do not exist, each as ``page: link``."""
    broken = set()
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="?([^"\s>]+)', page.read_text("utf-8")):
            path = link.partition("#")[0].partition("?")[0]
            if not path or re.match(r"\w+:|/", path) or page.name == "404.html":
                continue
            target = page.parent / path
            if not (target.is_file() or (target / "index.html").is_file()):
                broken.add(f"{page.relative_to(site)}: {link}")
    return broken


if __name__ == "__main__":
    sys.exit(main())
