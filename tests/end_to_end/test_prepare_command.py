"""`mien prepare` as a person runs it: killed, on a full disk, over its own output."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.cli import main

N_ROWS = 900
MIEN = [sys.executable, "-c", "import sys; from mien.cli import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of many rows on few images, by different paths: several shards, quickly made."""
    folder = tmp_path_factory.mktemp("raw")
    random = np.random.default_rng(0)
    for number in range(20):
        pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        (folder / f"{number}.jpg").write_bytes(file.getvalue() if number != 13 else b"broken")
    rows = (
        f"{row}/../{row % 20}.jpg,{('happy', 'sad')[row % 3 == 0]},{'val' if row % 10 == 9 else 'train'}\n"
        for row in range(N_ROWS)
    )
    (folder / "faces.csv").write_text("path,label,split\n" + "".join(rows))
    return folder


def command(raw: Path, out: Path, *options: str) -> list[str]:
    size = [] if "--size" in options else ["--size", "32"]
    return [*MIEN, "prepare", "csv", str(raw), "--out", str(out), *size, *options]


def run(raw: Path, out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(raw, out, *options), capture_output=True, text=True, check=False, timeout=120
    )


def content(pack: Path) -> str:
    return str(json.loads((pack / "pack.json").read_text())["content_sha256"])


@pytest.fixture(scope="module")
def whole(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack that an uninterrupted run makes."""
    out = tmp_path_factory.mktemp("whole") / "my.pack"
    done = run(raw, out, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert f"{N_ROWS:,} rows read = 855 faces kept + 45 rejected" in done.stdout
    return out


def descendants_of(pid: int) -> list[int]:
    """Return the process numbers of a process's children and theirs; none where there is no /proc."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(pid for child in children for pid in descendants_of(child))]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False


def kill_at_shard(raw: Path, out: Path, n_shards: int, *options: str) -> list[int]:
    """Start prepare, kill -9 it once some shards are there, and return the numbers of its processes."""
    with subprocess.Popen(
        command(raw, out, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 60
        while len(list(out.glob(".prepare/*-*.json"))) < n_shards and process.poll() is None:
            assert time.monotonic() < deadline, "no shard appeared"
            time.sleep(0.002)
        workers = descendants_of(process.pid)
        process.send_signal(signal.SIGKILL)
    return workers


@pytest.mark.parametrize(("n_shards", "workers"), [(1, "1"), (2, "2")])
def test_killed_run_goes_on(raw: Path, whole: Path, tmp_path: Path, n_shards: int, workers: str) -> None:
    """After kill -9 in the midst, the same command ends in the same pack, and no orphan goes on writing."""
    out = tmp_path / "my.pack"
    orphans = kill_at_shard(raw, out, n_shards, "--workers", workers)
    deadline = time.monotonic() + 10
    while any(is_alive(pid) for pid in orphans):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.01)
    if (out / "pack.json").exists():
        pytest.skip("the machine was too fast: the run had ended before the kill")
    other = run(raw, out, "--workers", workers, "--margin", "0")
    assert (other.returncode, other.stdout) == (1, "")
    assert "was begun with other options" in other.stderr
    again = run(raw, out, "--workers", workers)
    assert again.returncode == 0, again.stderr
    assert "resumed: " in again.stdout
    assert content(out) == content(whole)
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in whole.iterdir())
    assert (out / "rejects.csv").read_bytes() == (whole / "rejects.csv").read_bytes()


def test_killed_worker_is_told(raw: Path, whole: Path, tmp_path: Path) -> None:
    """A worker that the system kills is one line, and the same command goes on afterwards."""
    out = tmp_path / "my.pack"
    with subprocess.Popen(command(raw, out, "--workers", "2"), stderr=subprocess.PIPE, text=True) as process:
        while not list(out.glob(".prepare/*-*.json")) and process.poll() is None:
            time.sleep(0.002)
        workers = [pid for child in descendants_of(process.pid) for pid in descendants_of(child)]
        if workers:
            os.kill(workers[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the machine was too fast: there was no worker left to kill")
    lines = [line for line in errors.splitlines() if not line.startswith("Preparing")]
    assert process.returncode == 1, errors
    assert len(lines) == 1, errors
    assert lines[0].startswith("mien: A worker process was killed, usually for lack of memory.")
    assert run(raw, out, "--workers", "2").returncode == 0
    assert content(out) == content(whole)


def test_stopped_by_hand(raw: Path, tmp_path: Path) -> None:
    """Ctrl-C ends with one word and exit code 130, whatever the workers were doing."""
    out = tmp_path / "my.pack"
    with subprocess.Popen(
        command(raw, out, "--workers", "2"), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while not list(out.glob("*.arrow")) and process.poll() is None:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the machine was too fast: the run had ended before the signal")
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "mien: stopped"
    assert "Traceback" not in errors


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB, where one may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False)
    except OSError:
        pytest.skip("this system has no mount")
    if mounted.returncode:
        pytest.skip("mounting a disk needs rights that this test does not have")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


@pytest.mark.parametrize("workers", ["1", "2"])
def test_really_full_disk(raw: Path, whole: Path, small_disk: Path, workers: str) -> None:
    """A disk too small for the pack is one line and exit code 1; with room the same command goes on."""
    out = small_disk / "my.pack"
    done = run(raw, out, "--workers", workers)
    assert (done.returncode, done.stdout) == (1, "")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Preparing")]
    assert lines == [
        (
            f"mien: The disk is full while writing {out}: free some space and run the same command again, "
            "it resumes where it stopped"
        )
    ]
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)  # noqa: S607
    assert run(raw, out, "--workers", workers).returncode == 0
    assert content(out) == content(whole)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ([], 1, "already exists. Choose another path, or add --force"),
        (["--size", "8"], 2, "argument --size: must be from 16 to 1,024"),
        (["--margin", "-1"], 2, "argument --margin: must be from 0 to 2"),
        (["--margin", "nan"], 2, "argument --margin: must be from 0 to 2"),
        (["--val-fraction", "1"], 2, "argument --val-fraction: must be from 0 to 0.9"),
        (["--workers", "0"], 2, "must be 1 or more"),
        (["--crop", "eyes"], 2, "invalid choice: 'eyes'"),
        (["--color", "red"], 2, "unrecognized arguments: --color red"),
        (["--annotations", "<raw>"], 1, "which is never written to"),
    ],
)
def test_exit_codes(
    raw: Path, whole: Path, options: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Expected failures are one line and 1, wrong usage is 2, and the pack that is there stays."""
    before = (whole / "pack.json").stat()
    words = command(raw, whole, *(str(raw / "lists") if option == "<raw>" else option for option in options))
    assert exit_code(words[len(MIEN) :]) == code
    errors = capsys.readouterr().err
    assert told in errors
    assert errors.count("\n") == 1 or code == 2
    assert (whole / "pack.json").stat() == before


def exit_code(words: list[str]) -> int:
    """Run a command in this process."""
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


def test_raw_set_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong path is one line, and no output is begun."""
    assert exit_code(command(tmp_path / "nothing", tmp_path / "my.pack")[len(MIEN) :]) == 1
    assert capsys.readouterr().err.startswith("mien: There is nothing at")
    assert list(tmp_path.iterdir()) == []


def test_browse_shows_the_pack(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The pack that prepare made can be looked at."""
    sheet = tmp_path / "sheet.png"
    words = ["browse", str(whole), "--out", str(sheet), "--per-class", "3", "--split", "val"]
    assert (exit_code(words), capsys.readouterr().out) == (0, f"sheet: {sheet}\n")
    with Image.open(sheet) as image:
        assert image.size[0] > 300


MEASURE = """
import resource, sys
from mien.cli import main
code = main(sys.argv[1:])
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_rows(raw: Path, tmp_path: Path) -> None:
    """From the peaks at 50,000 and at 250,000 rows, a million rows stay under 1 GB."""
    peaks = {}
    for n_rows in (50_000, 250_000):
        rows = tmp_path / f"{n_rows}.csv"
        landmarks = ";".join(f"{value % 40}.5" for value in range(136))
        with rows.open("w") as file:
            file.write("path,label,split,landmarks\n")
            for row in range(n_rows):
                name = f"{row}/../{row % 13}.jpg" if row % 50 == 0 else f"missing/{row}.jpg"
                file.write(f"{name},happy,train,{landmarks}\n")
        for number in range(13):
            (tmp_path / f"{number}.jpg").write_bytes((raw / f"{number}.jpg").read_bytes())
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, "prepare", "csv", str(rows), "--out", str(tmp_path / f"{n_rows}.pack"),
             "--size", "32", "--workers", "2", "--allow", "mostly-rejected"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        peaks[n_rows] = int(done.stdout.split("PEAK ")[1]) / 1024
    slope = (peaks[250_000] - peaks[50_000]) / 200_000
    assert peaks[250_000] + slope * 750_000 < 1000, peaks
