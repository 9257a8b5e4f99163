"""Looking at a set before preparing it."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from mien.cli import main
from mien.datasets.registry import DatasetOptions
from mien.errors import DatasetError
from mien.prepare.auto import describe_set


@pytest.fixture
def folder(tmp_path: Path, tools: Any) -> Path:
    """Two classes in two splits, in a folder that a shell would split; one image is broken."""
    raw = tmp_path / "my faces"
    for number, place in enumerate(("train/happy", "train/sad", "test/happy", "test/sad")):
        (raw / place).mkdir(parents=True)
        for name in ("a.jpg", "b.jpg"):
            data = b"broken" if number == 3 else tools.encode(tools.draw_image(number))
            (raw / place / name).write_bytes(data)
    return raw


def test_rows_are_shown_as_understood(folder: Path) -> None:
    """From every split, with class and size, or the reason for rejecting one; and the quoted command."""
    text = describe_set(folder, DatasetOptions(), ["auto", str(folder)])
    lines = text.splitlines()
    assert "looks like `folder`, because `test`, `train` hold folders of images" in lines[0]
    assert "rows: train 4, test 4" in lines
    assert "classes: Happy, Sad" in lines
    shown = [line.split()[:3] for line in lines if line.startswith(("train", "test"))]
    assert ["train", "train/sad/b.jpg", "Sad"] in shown
    assert len(shown) == 8
    assert sum("not_an_image: begins with" in line for line in lines) == 2
    words = shlex.split(lines[-1])
    assert words == ["mien", "prepare", "folder", str(folder), "--out", "my faces.pack"]


def test_the_command_line_prints_a_command_that_works(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options that were given are in it; nothing is written until it is run."""
    monkeypatch.chdir(tmp_path)
    options = [
        "--label-names",
        "happy=Happy,sad=Sad",
        "--size",
        "16",
        "--allow",
        "empty-classes",
        "--workers",
        "1",
    ]
    assert main(["prepare", "auto", str(folder), *options]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["my faces"]
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert main(command[1:]) == 0
    assert (tmp_path / "my faces.pack" / "pack.json").exists()


@pytest.mark.parametrize(
    ("place", "raw", "out"), [(".", ".", "../my faces.pack"), ("train", "..", "../../my faces.pack")]
)
def test_no_pack_is_proposed_inside_the_set(
    folder: Path, place: str, raw: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is never written to: in the set's own folder, the pack lies next to it."""
    monkeypatch.chdir(folder / place)
    words = shlex.split(describe_set(Path(raw), DatasetOptions(), ["auto", raw]).splitlines()[-1])
    assert words == ["mien", "prepare", "folder", raw, "--out", out]
    assert Path(out).resolve() == folder.parent.resolve() / "my faces.pack"


def test_what_the_set_still_needs_is_one_error(tmp_path: Path, tools: Any) -> None:
    """A kind is named even if an option is missing to read the set as such."""
    for number in range(3):
        (tmp_path / "raw" / str(number)).mkdir(parents=True)
        (tmp_path / "raw" / str(number) / "a.jpg").write_bytes(tools.encode(tools.draw_image(number)))
    with pytest.raises(DatasetError, match=r"looks like `folder`.* But: .*--label-names 0=NAME"):
        describe_set(tmp_path / "raw", DatasetOptions(), [])
    with pytest.raises(DatasetError, match=r"is none of affectnet, .*: it holds 1 .jpg in `a.jpg`"):
        describe_set(tmp_path / "raw" / "0", DatasetOptions(), [])


def test_only_auto_needs_no_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage otherwise."""
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "csv", "raw"])
    assert "required: --out" in capsys.readouterr().err


def test_who_it_is_is_shown(tmp_path: Path, tools: Any) -> None:
    """A set may hold nothing else."""
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "1.jpg").write_bytes(tools.encode(tools.draw_image(1)))
        (tmp_path / f"fairface_label_{split}.csv").write_text(
            f"file,age,gender,race,service_test\n{split}/1.jpg,20-29,Male,White,True\n"
        )
    text = describe_set(tmp_path, DatasetOptions(), ["auto", str(tmp_path)])
    assert "train/1.jpg" in text
    assert text.count("age 20-29, gender Male, race White") == 2
    assert "person" not in text
    kdef = tmp_path / "kdef"
    (kdef / "AF01").mkdir(parents=True)
    for name in ("AF01ANS.JPG", "AF01HAS.JPG"):
        (kdef / "AF01" / name).write_bytes(tools.encode(tools.draw_image(1)))
    lines = describe_set(kdef, DatasetOptions(), ["auto", str(kdef)]).splitlines()
    assert sum("F01" in line.split() for line in lines) == 2
