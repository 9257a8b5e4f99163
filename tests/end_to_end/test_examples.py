"""The examples run as they are: the code of the notebooks cell by cell, `!mien ...` as the command that it is."""

import importlib.util
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mien.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
IMAGE = EXAMPLES.parent / "page" / "public" / "example.jpg"
# They train.
SLOW = {"fine_tune", "affectnet_to_report", "compare_for_a_paper"}
NOTEBOOKS = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in SLOW))
    for path in sorted(EXAMPLES.glob("*.ipynb"))
]


def run_command(line: str) -> None:
    """Run a line that begins with an exclamation mark in a notebook."""
    program, *words = shlex.split(line)
    assert program == "mien", f"a test runs only mien's commands, got {line}"
    assert main(words) == 0, line


def run_notebook(path: Path) -> dict[str, Any]:
    """Run the cells of a notebook in the current folder, and return their variables."""
    variables: dict[str, Any] = {"run_command": run_command}
    for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"], 1):
        if cell["cell_type"] == "code":
            # IPython replaces names in braces, as an f-string does.
            code = re.sub(
                r"^( *)!(.+)$", r"\1run_command(f'''\2''')", "".join(cell["source"]), flags=re.MULTILINE
            )
            exec(compile(code, f"{path.name}, cell {number}", "exec"), variables)  # noqa: S102
    return variables


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_notebooks(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leaves what its text promises; none has outputs, which would go stale."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    variables = run_notebook(path)
    cells = json.loads(path.read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    if path.stem == "photos_to_table":
        assert len(variables["faces"]) >= 10
        assert (tmp_path / "faces.csv").read_text("utf-8").count("\n") == len(variables["table"]) + 1
    elif path.stem == "video_to_timeline":
        assert (tmp_path / "timeline.png").stat().st_size > 1000
        assert variables["seconds"].to_numpy().sum() > 1
    elif path.stem == "fine_tune":
        assert set(variables["model"].classes) == {"Happy", "Sad", "Surprise"}
    elif path.stem == "compare_for_a_paper":
        assert (tmp_path / "runs" / "comparison.tex").is_file()
        assert (tmp_path / "runs" / "comparison.pdf").is_file()


def test_every_example_is_listed() -> None:
    """And every one that is listed is there."""
    listed = set(
        re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)
    )
    assert listed == {
        path.name for path in EXAMPLES.iterdir() if path.name not in ("README.md", "__pycache__")
    }


def test_choose_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten faces: those above 0.5 are right."""
    lines = ["key,true,predicted,p_Happy,p_Sad"]
    lines += [f"{i}.jpg,Happy,Happy,0.9,0.1" for i in range(6)]
    lines += [f"{i}.jpg,Happy,Sad,0.48,0.52" for i in range(4)]
    (tmp_path / "predictions.csv").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["choose_threshold.py", str(tmp_path), "--accuracy", "0.9"])
    runpy.run_path(str(EXAMPLES / "choose_threshold.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "0.00     100.0%      60.0% (n = 10)" in printed
    assert "--min-confidence 0.55 reaches 90% on these faces." in printed


def test_fastapi_app() -> None:
    """An image gives its faces, anything else a row that says why."""
    pytest.importorskip("fastapi", reason="needs the serve extra")
    from fastapi.testclient import TestClient

    client = TestClient(runpy.run_path(str(EXAMPLES / "fastapi_app.py"))["app"])
    rows = client.post("/faces", files={"image": ("faces.jpg", IMAGE.read_bytes())}).json()["rows"]
    assert {row["status"] for row in rows} == {"ok"}
    (row,) = client.post("/faces", files={"image": ("notes.txt", b"words")}).json()["rows"]
    assert (row["status"], row["source"]) == ("not_an_image", "notes.txt")


def test_http_client(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a real server on a free port."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs the serve extra")
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()
    received: list[dict[str, Any]] = []

    @app.post("/v1/predict")
    async def predict(request: fastapi.Request) -> Any:
        received.append(await request.json())
        rows = [{"status": "ok", "expression": "Happy", "confidence": 0.98}, {"status": "no_face"}]
        return {"results": [{"source": image["source"], "rows": rows} for image in received[-1]["images"]]}

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            pass
        port = server.servers[0].sockets[0].getsockname()[1]
        monkeypatch.setattr(
            sys, "argv", ["http_client.py", str(IMAGE), "--address", f"http://127.0.0.1:{port}"]
        )
        runpy.run_path(str(EXAMPLES / "http_client.py"), run_name="__main__")
    finally:
        server.should_exit = True
        thread.join()
    assert capsys.readouterr().out == "example.jpg: Happy 98%\nexample.jpg: no_face\n"


def test_gradio_app() -> None:
    """The function behind the form, in a process of its own: Gradio leaves an event loop open."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("gradio is not installed")
    program = f"""
import json, runpy
import numpy as np
from PIL import Image
annotate = runpy.run_path({str(EXAMPLES / "gradio_app.py")!r})["annotate"]
drawn, probabilities = annotate(np.asarray(Image.open({str(IMAGE)!r}).convert("RGB")))
print(json.dumps([drawn.ndim, sum(probabilities.values()), annotate(None)]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [3, pytest.approx(1, abs=1e-3), [None, {}]]


def test_embedded_page(tmp_path: Path) -> None:
    """The frame shows what `mien page faces` writes next to it, and may use the camera."""
    assert main(["page", str(tmp_path / "faces")]) == 0
    text = (EXAMPLES / "embed.html").read_text("utf-8")
    (frame,) = re.findall(r"<iframe[^>]*>", text)
    assert (tmp_path / re.search(r'src="([^"]+)"', frame)[1]).is_file()
    assert 'allow="camera"' in frame


@pytest.mark.slow
def test_node(tmp_path: Path) -> None:
    """Node's answer for a face crop is Python's."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("needs Node")
    from PIL import Image

    import mien
    from mien.assets.bundled_models import find_model

    shutil.copytree(EXAMPLES / "node", tmp_path / "node")
    if subprocess.run([npm, "install", "--silent"], cwd=tmp_path / "node", check=False).returncode:
        pytest.skip("the packages could not be installed")
    # 48 pixels, the model's size, so that nothing is resized.
    face = tmp_path / "face.png"
    Image.open(IMAGE).convert("RGB").crop((0, 0, 240, 240)).resize((48, 48)).save(face)
    command = [node, "predict.mjs", str(find_model()), str(face)]
    done = subprocess.run(
        command, cwd=tmp_path / "node", capture_output=True, text=True, check=True, env=os.environ
    )
    answers = dict(line.removesuffix("%").split() for line in done.stdout.splitlines())
    (expected,) = mien.load(threads=1).predict(face, cropped=True)
    assert next(iter(answers)) == expected.expression
    for name, probability in expected.probabilities.items():
        assert float(answers[name]) == pytest.approx(100 * probability, abs=1)
