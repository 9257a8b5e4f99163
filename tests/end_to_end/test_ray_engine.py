"""`--engine ray` as a person runs it: on workers that are killed, and after a kill of the command itself.

The tests take minutes and need the `ray` extra, which is too large for the development tools.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the ray extra")
pytestmark = pytest.mark.slow

N_FACES = 2000


def command(raw: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "mien", "prepare", "affectnet", str(raw), "--out", str(out), *options]


def run(raw: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(raw, out, *options), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", autouse=True)
def own_cluster() -> None:
    """Each command starts a cluster of its own, whatever runs on this machine."""
    os.environ["RAY_ADDRESS"] = "local"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "drawn"
    subprocess.run(
        [sys.executable, "-m", "mien", "sample", str(folder), "--faces", str(N_FACES)],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def pool_hash(raw: Path) -> str:
    """The content hash by the process pool."""
    out = raw.parent / "pool.pack"
    assert run(raw, out).returncode == 0
    return content(out)


def content(pack: Path) -> str:
    return str(json.loads((pack / "pack.json").read_text())["content_sha256"])


def ray_workers(pid: int, work: bytes = b"make_shard") -> list[int]:
    """Return the processes below a process that run a task."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if b"ray::" + work in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
            found += ray_workers(int(child), work)
        except OSError:
            continue
    return found


def wait_for_shards(out: Path, process: "subprocess.Popen[str]", count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(out.glob(".prepare/*-*.json"))) < count and process.poll() is None:
        assert time.monotonic() < deadline, "no shard appeared"
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before the kill"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_pack_is_that_of_the_pool(raw: Path, pool_hash: str, tmp_path: Path, workers: str) -> None:
    done = run(raw, tmp_path / "a.pack", "--engine", "ray", "--workers", workers)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "a.pack") == pool_hash
    assert [line for line in done.stderr.splitlines() if not line.startswith("Preparing")] == []


def test_a_killed_worker_is_replaced(raw: Path, pool_hash: str, tmp_path: Path) -> None:
    """The command needs nothing more: the task runs again on another worker."""
    out = tmp_path / "a.pack"
    with subprocess.Popen(command(raw, out, "--engine", "ray"), stderr=subprocess.PIPE, text=True) as process:
        wait_for_shards(out, process, 1)
        workers = ray_workers(process.pid)
        assert workers
        os.kill(workers[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert content(out) == pool_hash


def test_a_killed_command_resumes(raw: Path, pool_hash: str, tmp_path: Path) -> None:
    """What is finished is kept, and no worker survives the command."""
    out = tmp_path / "a.pack"
    with subprocess.Popen(command(raw, out, "--engine", "ray"), stderr=subprocess.PIPE, text=True) as process:
        wait_for_shards(out, process, 2)
        workers = ray_workers(process.pid)
        process.kill()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived the command"
        time.sleep(0.1)
    done = run(raw, out, "--engine", "ray")
    assert done.returncode == 0, done.stderr
    assert "resumed: " in done.stdout
    assert content(out) == pool_hash


def test_a_cluster_that_is_not_there_is_one_line(raw: Path, tmp_path: Path) -> None:
    """A wrong address."""
    done = run(raw, tmp_path / "a.pack", "--engine", "ray://127.0.0.1:9")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_predicting_survives_a_killed_worker_and_command(raw: Path, tmp_path: Path) -> None:
    """The rows are those of one process, byte for byte."""
    predict = [sys.executable, "-m", "mien", "predict", str(raw), "--crop", "whole", "--out"]
    subprocess.run([*predict, str(tmp_path / "one.csv")], check=True, capture_output=True)
    out = tmp_path / "rows.csv"
    bulk = [*predict, str(out), "--resume", "--engine", "ray", "--workers", "2"]
    with subprocess.Popen(bulk, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (workers := ray_workers(process.pid, b"make_part")):
            assert time.monotonic() < deadline, "no worker appeared"
            time.sleep(0.01)
        os.kill(workers[0], signal.SIGKILL)
        while not list(tmp_path.glob("rows.csv.parts/*.jsonl")):
            assert time.monotonic() < deadline, "no part appeared"
            time.sleep(0.01)
        process.kill()
    assert not out.exists()
    subprocess.run(bulk, check=True, capture_output=True)
    assert out.read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_workers_that_cannot_import_say_so(tmp_path: Path) -> None:
    """What to install is in the message, on one line."""
    (tmp_path / "only_here.py").write_text("def work(number):\n    return number\n")
    program = f"""
import sys
from mien.runtime.engines import open_engine
sys.path.insert(0, {str(tmp_path)!r})
from only_here import work
sys.path.pop(0)
with open_engine("ray", workers=1, advice="") as engine:
    list(engine.run(work, [1]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "EngineError: The workers of the Ray cluster cannot import mien" in done.stderr
    assert "No module named 'only_here'" in done.stderr.splitlines()[-1]
