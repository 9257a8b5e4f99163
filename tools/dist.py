"""Build the wheel and the source distribution into dist/ from the last commit, and check them. `make dist` runs this.

What is not committed is not in them. In the copy that is built, the README's links point into the repository, because the
package index shows the README without it.
"""

import shutil
import subprocess
import sys
import tarfile
from io import BytesIO

from links import ROOT, repository_address, rewrite_links

SOURCE, DIST = ROOT / "build" / "source", ROOT / "dist"
MAX_SDIST_BYTES = 20_000_000


def main() -> int:
    """Build, check, and print what was built."""
    for folder in (SOURCE, DIST):
        shutil.rmtree(folder, ignore_errors=True)
    archive = subprocess.run(
        ["git", "archive", "--format=tar", "HEAD"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(SOURCE, filter="data")
    address, readme = repository_address(), SOURCE / "README.md"
    if address is None:
        print(
            "pyproject.toml has no [project.urls] Repository: the package index will not show the README's images"
        )
    else:
        text = readme.read_text("utf-8")
        readme.write_text(rewrite_links(text, readme, SOURCE / "none", address, root=SOURCE), "utf-8")
    python = sys.executable
    subprocess.run([python, "-m", "build", "--outdir", DIST, SOURCE], check=True, stdout=subprocess.DEVNULL)
    built = sorted(DIST.iterdir())
    subprocess.run([python, "-m", "twine", "check", "--strict", *built], check=True)
    wheel = next(path for path in built if path.suffix == ".whl")
    subprocess.run([python, "-m", "check_wheel_contents", wheel], cwd=ROOT, check=True)
    for path in built:
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")
    too_large = [path.name for path in built if path.stat().st_size > MAX_SDIST_BYTES]
    if too_large:
        print(f"more than {MAX_SDIST_BYTES / 1e6:g} MB: {', '.join(too_large)}")
    return bool(too_large)


if __name__ == "__main__":
    sys.exit(main())
