"""Outputs under attack: two commands that write one output at once, and kill -9 while one is replaced."""

import csv
import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.formats.pack import Pack
from mien.prepare.face import PROGRESS_FOLDER

MIEN = [sys.executable, "-m", "mien"]
ROUNDS = 2


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 300 rows on a few images, two shards; and the images in two folders, 8 and 12."""
    folder = tmp_path_factory.mktemp("raw")
    noise = np.random.default_rng(0)
    for number in range(20):
        path = folder / ("a" if number < 8 else "b") / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    rows = (
        f"{row}/../{'a' if row % 20 < 8 else 'b'}/{row % 20}.jpg,{('happy', 'sad')[row % 3 == 0]},{('train', 'val')[row % 6 == 0]}\n"
        for row in range(300)
    )
    (folder / "faces.csv").write_text("path,label,split\n" + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def pack(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pack") / "my.pack"
    subprocess.run([*MIEN, *prepare_words(raw, "32"), "--out", str(out)], check=True, capture_output=True)
    return out


def prepare_words(raw: Path, size: str) -> list[str]:
    return ["prepare", "csv", str(raw), "--crop", "whole", "--workers", "1", "--size", size]


def look_at_pack(out: Path) -> str:
    """Return which of the two packs it is, after a look at every byte that pack.json tells of."""
    info = Pack.open(out).info
    for shard in info.shards:
        content = (out / shard.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == shard.sha256
    assert (info.n_kept, len(Pack.open(out).split("val"))) == (300, 50)
    # a kill after the pack was complete can leave its progress files, which do not hurt
    assert {path.name for path in out.iterdir()} - {PROGRESS_FOLDER} == {
        "pack.json", "groups.arrow", "rejects.csv", *(shard.name for shard in info.shards)
    }  # fmt: skip
    return str(info.crop.size)


def look_at_report(out: Path) -> str:
    metrics = json.loads((out / "metrics.json").read_text())
    with (out / "predictions.csv").open(newline="") as file:
        n_rows = len(list(csv.DictReader(file)))
    assert n_rows == metrics["n_faces"] == {"train": 250, "val": 50}[metrics["split"]]
    assert (out / "report.html").read_text().rstrip().endswith("</html>")
    return str(metrics["split"])


def look_at_rows(out: Path) -> str:
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    (folder,) = {Path(row["source"]).parent.name for row in rows}
    assert len(rows) == {"a": 8, "b": 12}[folder]
    return folder


def look_at_sheet(out: Path) -> str:
    with Image.open(out) as image:
        image.load()
        return "small" if image.width < 600 else "large"


Case = tuple[str, dict[str, list[str]], Callable[[Path], str]]


@pytest.fixture(scope="module")
def cases(raw: Path, pack: Path) -> dict[str, Case]:
    """By command: a name for OUT, two commands by what they write, and what tells which one an output is of, if it is whole."""
    whole = ["--crop", "whole"]
    return {
        "prepare": ("out.pack", {size: prepare_words(raw, size) for size in ("32", "40")}, look_at_pack),
        "evaluate": (
            "report",
            {split: ["evaluate", "--pack", str(pack), "--split", split] for split in ("val", "train")},
            look_at_report,
        ),
        "predict": (
            "rows.jsonl",
            {name: ["predict", str(raw / name), *whole] for name in ("a", "b")},
            look_at_rows,
        ),
        "browse": (
            "sheet.png",
            {name: ["browse", str(pack), "--per-class", n] for name, n in (("small", "2"), ("large", "12"))},
            look_at_sheet,
        ),
    }


def start(words: list[str], out: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*MIEN, *words, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def told(errors: str) -> list[str]:
    """Return the lines on standard error that are no progress."""
    return [line for line in errors.splitlines() if line.startswith("mien:") or "Traceback" in line]


def run(words: list[str], out: Path) -> tuple[int, list[str]]:
    """Return the exit code and what is reported."""
    with start(words, out) as process:
        errors = process.communicate(timeout=60)[1]
    return process.returncode, told(errors)


@pytest.mark.parametrize("command", ["prepare", pytest.param("evaluate", marks=pytest.mark.slow), "predict"])
def test_two_at_once(cases: dict[str, Case], tmp_path: Path, command: str) -> None:
    """One of them wins, and what stands there is its own, whole; the other is reported in one line, or comes after it."""
    name, commands, look_at = cases[command]
    for number in range(ROUNDS):
        force = ["--force"] if number else []
        out = tmp_path / str(number) / name
        both = {which: start([*words, *force], out) for which, words in commands.items()}
        ends = {
            which: (process.communicate(timeout=60)[1], process.returncode) for which, process in both.items()
        }
        winners = [which for which, (_, code) in ends.items() if code == 0]
        assert winners, ends
        for errors, code in ends.values():
            if code:
                (line,) = told(errors)
                assert "is being written by " in line or (not force and "already exists" in line)
        assert look_at(out) in winners
        assert not (out / PROGRESS_FOLDER).exists()
        assert [path.name for path in out.parent.iterdir()] == [name]


def kill_at_random(words: list[str], out: Path, seconds: float) -> None:
    with start([*words, "--force"], out) as process:
        time.sleep(random.uniform(0.3, 1.1) * seconds)  # noqa: S311
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["prepare", "evaluate", "predict", "browse"])
def test_killed_while_it_replaces(cases: dict[str, Case], tmp_path: Path, command: str) -> None:
    """The old output stands, or the new one does; the next command goes through and leaves nothing lying about."""
    name, commands, look_at = cases[command]
    (old, old_words), (new, new_words) = commands.items()
    out = tmp_path / name
    began = time.monotonic()
    assert run(old_words, out)[0] == 0
    seconds = time.monotonic() - began
    for _ in range(4 * ROUNDS):
        before = look_at(out)
        kill_at_random(new_words if before == old else old_words, out, seconds)
        aside = out.with_name(f"{name}.replaced")
        assert look_at(out if out.exists() else aside) in (old, new)
        # without --force: told that it is there, whatever the kill left, unless this very command only had to tidy up
        only_tidies_up = (out / PROGRESS_FOLDER / "plan.json").exists() and look_at(out) == old
        code, lines = run(old_words, out)
        assert (code, len(lines)) == ((0, 0) if only_tidies_up else (1, 1))
        assert look_at(out) in (old, new)
    assert run([*new_words, "--force"], out)[0] == 0
    assert look_at(out) == new
    assert not (out / PROGRESS_FOLDER).exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]
