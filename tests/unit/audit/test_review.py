"""The review page in a browser: what a person decides with the keyboard is what `mien prepare --corrections` applies.

It is the Chinese page: what it exports is the same as from the English one.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mien.cli import main

ROOT = Path(__file__).parents[3]
PLAYWRIGHT = ROOT / "page" / "node_modules" / "playwright-core"
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and shutil.which("node") and PLAYWRIGHT.exists()),
    reason="needs Node, Chromium and `make page`",
)


def test_decisions_on_the_page_are_applied(tmp_path: Path, model_path: Path) -> None:
    """One label kept, one changed to the suggestion, one by its number, one face dropped, and one left undecided."""
    colors = {"Neutral": (255, 0, 0), "Happy": (0, 255, 0), "Sad": (0, 0, 255)}
    rng = np.random.default_rng(0)

    def draw(name: str, folder: str, color: str) -> None:
        # Patterns of equally many dark and light cells: no near-duplicates, and equally green.
        pattern = (
            rng.permutation(np.repeat([0.5, 1.0], 18))
            .reshape(6, 6)
            .repeat(10, axis=0)
            .repeat(10, axis=1)[:, :, None]
        )
        path = tmp_path / "raw" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pattern * colors[color]).astype(np.uint8)).save(path)

    for name in colors:
        for index in range(12):
            draw(f"{index}.png", name, name)
    for index in range(5):
        draw(f'odd {index}, "é".png', "Sad", "Happy")
    prepare = [
        "prepare",
        "folder",
        str(tmp_path / "raw"),
        "--out",
        str(tmp_path / "pack"),
        "--size",
        "64",
        "--quiet",
    ]
    assert main(prepare) == 0
    audit = [
        "audit",
        str(tmp_path / "pack"),
        "--model",
        str(model_path),
        "--out",
        str(tmp_path / "audit"),
        "--quiet",
    ]
    assert main([*audit, "--language", "zh"]) == 0
    findings = pd.read_csv(tmp_path / "audit" / "findings.csv")
    assert len(findings) == 5
    page, corrections = tmp_path / "audit" / "review.html", tmp_path / "corrections.csv"
    # 1 is Neutral. The last decision but one is taken back.
    keys = ["k", "s", "1", "d", "d", "u"]
    words = ["node", str(Path(__file__).with_name("drive_review.mjs")), str(PLAYWRIGHT), str(CHROMIUM)]
    done = subprocess.run(
        [*words, str(page), str(corrections), *keys], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "faults": [],
        "shown": "共 5 张，已处理 4 张，其中 3 张需要修正",
        "name": "corrections.csv",
    }
    assert pd.read_csv(corrections)["why"].str.startswith("reviewed: looks like Happy (").all()
    assert main([*prepare, "--corrections", str(corrections), "--force"]) == 0
    assert main([*audit, "--force"]) == 0
    left = pd.read_csv(tmp_path / "audit" / "findings.csv").set_index("key")["labeled"].to_dict()
    kept, _, neutral, _, undecided = findings["key"]
    assert left == {kept: "Sad", neutral: "Neutral", undecided: "Sad"}
