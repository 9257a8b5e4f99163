"""No library under mien leaves an identifier of the machine, or asks for the host that it would upload to.

onnxruntime's telemetry is quiet on CI systems: the processes here get an environment of a few variables.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from mien.telemetry import ONNXRUNTIME_SINCE, ONNXRUNTIME_SWITCH

ROOT = Path(__file__).parents[2]
READ_A_FACE = """
import numpy as np, mien
print(mien.load().predict(np.zeros((64, 64, 3), np.uint8), whole=True).rows[0].status)
"""
READ_A_FACE_BY_COMMAND = """
import sys
from mien.cli import main
sys.exit(main(["predict", "--crop", "whole", sys.argv[1]]))
"""
SERVE = "from mien.serve import command; import onnxruntime; print('ok')"
ONNXRUNTIME_FIRST = f"import onnxruntime; {READ_A_FACE}"
HAS_TELEMETRY = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) >= ONNXRUNTIME_SINCE
needs_telemetry = pytest.mark.skipif(not HAS_TELEMETRY, reason="this onnxruntime has no telemetry")

# Answers no name, and prints how many were asked for while a program runs. Needs namespaces of its own.
RESOLVER = """
import fcntl, pathlib, socket, struct, subprocess, sys, tempfile, time
names = tempfile.NamedTemporaryFile("w")
names.write("nameserver 127.0.0.1\\n")
names.flush()
subprocess.run(["mount", "--bind", names.name, str(pathlib.Path("/etc/resolv.conf").resolve())], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(server, 0x8914, struct.pack("16sh", b"lo", 0x1))  # the loopback goes up
server.bind(("127.0.0.1", 53))
server.settimeout(0.5)
asked = []
with subprocess.Popen([sys.executable, "-c", sys.argv[1]]) as process:
    while process.poll() is None:
        try:
            asked.append(server.recv(512))
        except TimeoutError:
            pass
print("asked", len(asked), asked[:1], process.returncode)
"""


def environment_of(home: Path, **more: str) -> dict[str, str]:
    """Return the variables of a process that no CI system started."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "LOCALAPPDATA": str(home / "local"),
        **more,
    }


def files_under(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def run(program: str, home: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment_of(home, **variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@needs_telemetry
def test_without_mien_an_identifier_is_left_behind(tmp_path: Path) -> None:
    """Else the tests below could not see one."""
    run("import onnxruntime", tmp_path)
    assert any("deviceid" in name for name in files_under(tmp_path))


@pytest.mark.parametrize("program", [READ_A_FACE, SERVE], ids=["python", "server"])
def test_no_identifier_is_left_behind(program: str, tmp_path: Path) -> None:
    done = run(program, tmp_path)
    assert "ok" in done.stdout
    assert files_under(tmp_path) == []


def test_the_command_line_leaves_no_identifier_behind(tmp_path: Path) -> None:
    done = run(READ_A_FACE_BY_COMMAND, tmp_path / "home", str(ROOT / "tests" / "golden" / "picture.png"))
    assert "picture.png" in done.stdout
    assert files_under(tmp_path) == []


@needs_telemetry
def test_what_the_user_chose_stays(tmp_path: Path) -> None:
    done = run(
        f"{READ_A_FACE}import os; print(os.environ['{ONNXRUNTIME_SWITCH}'])",
        tmp_path,
        **{ONNXRUNTIME_SWITCH: "0"},
    )
    assert done.stdout.split() == ["ok", "0"]
    assert any("deviceid" in name for name in files_under(tmp_path))


@needs_telemetry
def test_an_onnxruntime_that_came_first_is_warned_of(tmp_path: Path) -> None:
    done = run(ONNXRUNTIME_FIRST, tmp_path)
    assert (
        f"may send one event to its maker, with an identifier of this machine: import mien first, or set {ONNXRUNTIME_SWITCH}=1"
        in done.stderr
    )


def test_the_advice_of_the_warning_helps(tmp_path: Path) -> None:
    done = run(ONNXRUNTIME_FIRST, tmp_path, **{ONNXRUNTIME_SWITCH: "1"})
    assert done.stderr == ""
    assert files_under(tmp_path) == []


def test_downloads_of_weights_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    program = "import mien; from huggingface_hub.utils import build_hf_headers as h; print(h()['user-agent'])"
    assert "torch" not in run(program, tmp_path).stdout
    assert "torch" in run(program.replace("import mien; ", ""), tmp_path).stdout


def test_no_benchmark_loads_these_libraries_before_mien() -> None:
    for path in (ROOT / "benchmarks").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            name.split(".")[0]
            for node in ast.walk(tree)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert imported.isdisjoint({"onnxruntime", "huggingface_hub", "timm"}), path


@pytest.mark.slow
@needs_telemetry
def test_no_host_is_looked_up(tmp_path: Path) -> None:
    """The host of onnxruntime is asked for some 10 seconds after it was imported; the control shows that it is heard."""
    alone = ["unshare", "--map-root-user", "--net", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("needs Linux namespaces of its own")

    def start(program: str, home: Path) -> "subprocess.Popen[str]":
        command = [*alone, sys.executable, "-c", RESOLVER, f"{program}\nimport time; time.sleep(16)"]
        return subprocess.Popen(command, env=environment_of(home), stdout=subprocess.PIPE, text=True)

    control, ours = start("import onnxruntime", tmp_path / "control"), start(READ_A_FACE, tmp_path / "ours")
    heard, ours_heard = control.communicate()[0], ours.communicate()[0]
    assert "events" in heard, heard
    assert ours_heard.split() == ["ok", "asked", "0", "[]", "0"], ours_heard
