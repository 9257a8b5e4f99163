"""Every command that writes one file or folder: one writer at a time, and the old output stays until the new one is whole."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mien import artifacts
from mien.artifacts import one_writer
from mien.bench.options import BenchOptions
from mien.bench.stage import bench
from mien.browse.stage import browse
from mien.errors import ArtifactError
from mien.evaluate.stage import evaluate
from mien.sample.write import write_sample
from mien.serve.site import write_page

Write = Callable[[Path], object]


@pytest.fixture
def write(
    request: pytest.FixtureRequest, model_path: Path, training_pack: Path, detector: object, tmp_path: Path
) -> tuple[str, Write]:
    """A name for OUT, and what writes it with --force."""

    def export_run(out: Path) -> None:
        from mien.export.stage import export

        export(request.getfixturevalue("trained_run"), out, force=True)

    def draw_plan(out: Path) -> None:
        from mien.train.dry_run.plan import plan_training

        recipe = request.getfixturevalue("tiny_recipe")
        plan_training(recipe, [training_pack]).draw(out, force=True)

    commands: dict[str, tuple[str, Write]] = {
        "browse": ("sheet.png", lambda out: browse(training_pack, out, force=True)),
        "bench": (
            "bench.json",
            lambda out: bench(model_path, detector, BenchOptions(rounds=1), out=out, force=True),  # type: ignore[arg-type]
        ),
        "evaluate": ("report", lambda out: evaluate(model_path, training_pack, out=out, force=True)),
        "export": ("model.onnx", export_run),
        "page": (
            "page",
            lambda out: write_page(out, model_path, detector=model_path, force=True),
        ),
        "plan": ("plan.png", draw_plan),
        "sample": ("faces", lambda out: write_sample(out, n_faces=22, workers=1, force=True)),
    }
    return commands[request.param]


COMMANDS = ["browse", "bench", "evaluate", "export", "page", "plan", "sample"]


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(command, marks=pytest.mark.slow) if command == "export" else command
        for command in COMMANDS
    ],
    indirect=True,
)
def test_the_old_one_stays_until_the_new_one_is_whole(
    write: tuple[str, Write], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop at the last moment leaves it byte for byte, and nothing beside it."""
    out = tmp_path / "outputs" / write[0]
    if out.suffix:
        out.parent.mkdir()
        out.write_text("old")
    else:
        write[1](out)
    before = content(out)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "publish" if out.is_file() else "replace_folder", stop)
        with pytest.raises(KeyboardInterrupt):
            write[1](out)
    assert content(out) == before
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("write", COMMANDS, indirect=True)
def test_the_second_writer_is_told(write: tuple[str, Write], tmp_path: Path) -> None:
    """It writes nothing, --force or not."""
    out = tmp_path / "outputs" / write[0]
    with one_writer(out), pytest.raises(ArtifactError, match=f"{out.name} is being written by this process"):
        write[1](out)
    assert list(out.parent.iterdir()) == []
