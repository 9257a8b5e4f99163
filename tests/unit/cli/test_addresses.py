"""Commands that read packs and raw datasets at addresses."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import fsspec
import numpy as np
import pytest

from mien.cli import main
from mien.formats.pack import Pack
from mien.formats.remote import fetch_pack
from mien.runtime.addresses import local_path, path_or_address


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An in-memory store with a set of two classes, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        _, data = cv2.imencode(".png", cv2.resize(pixels, (40, 40), interpolation=cv2.INTER_CUBIC))
        store.pipe(f"/bucket/set/{('happy', 'sad')[number % 2]}/{number}.png", data.tobytes())
    yield store
    store.store.clear()


def test_a_set_is_prepared_and_browsed_from_a_store(
    store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack, sheet = tmp_path / "my.pack", tmp_path / "sheet.png"
    set_options = ["--size", "32", "--workers", "1", "--val-fraction", "0.3"]
    assert main(["prepare", "folder", "memory://bucket/set", "--out", str(pack), *set_options]) == 0
    assert "12 rows read = 12 faces kept + 0 rejected" in capsys.readouterr().out
    store.put(str(pack), "/bucket/my.pack", recursive=True)
    assert main(["browse", "memory://bucket/my.pack", "--out", str(sheet)]) == 0
    assert sheet.exists()
    assert main(["browse", "memory://bucket/other.pack", "--out", str(sheet), "--force"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "mien: memory://bucket/other.pack has no pack.json. Check the address, and that the pack was copied there "
        "completely"
    )


@pytest.mark.parametrize("text", ["s3://bucket/a", "HTTP://host/a", "abfss://c@host/a"])
def test_addresses(text: str) -> None:
    assert path_or_address(text) == text


@pytest.mark.parametrize("text", ["a/b.pack", "C:\\packs\\a", "C://a", "s3:/bucket/a", "/a://b"])
def test_paths(text: str) -> None:
    assert path_or_address(text) == Path(text)


def test_a_pack_is_written_to_a_store(store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same pack as on disk, with its index last; it is not replaced without --force, and a copy is not left here."""
    command = ["prepare", "folder", "memory://bucket/set", "--size", "32", "--workers", "1"]
    assert main([*command, "--out", str(tmp_path / "my.pack")]) == 0
    content = Pack.open(tmp_path / "my.pack").info.content_sha256
    written: list[str] = []
    put_file = type(store).put_file

    def put(self: Any, source: str, target: str, **options: Any) -> None:
        written.append(target.rpartition("/")[2])
        put_file(self, source, target, **options)

    with mock.patch.object(type(store), "put_file", put):
        assert main([*command, "--out", "memory://bucket/new.pack"]) == 0
    assert written[-1] == "pack.json"
    assert capsys.readouterr().out.splitlines()[-1] == "pack: memory://bucket/new.pack"
    assert Pack.open(fetch_pack("memory://bucket/new.pack")).info.content_sha256 == content
    assert not list((tmp_path / "cache" / "mien" / "remote" / "out").rglob("*"))
    assert main([*command, "--out", "memory://bucket/new.pack"]) == 1
    assert "exists. Give another address, or add --force" in capsys.readouterr().err
    store.pipe("/bucket/new.pack/train-00009.arrow", b"of an earlier pack")
    assert main([*command, "--out", "memory://bucket/new.pack", "--force"]) == 0
    assert not store.exists("/bucket/new.pack/train-00009.arrow")
    assert main([*command, "--out", "memory://bucket/set", "--force"]) == 1
    assert "has files but no pack.json, and is not replaced" in capsys.readouterr().err


def test_predictions_are_written_to_a_store(
    store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on disk; the format follows the suffix of the address."""
    image = tmp_path / "a.png"
    image.write_bytes(store.cat("/bucket/set/happy/0.png"))
    command = ["predict", str(image), "--crop", "whole", "--out"]
    assert main([*command, str(tmp_path / "a.csv")]) == 0
    assert main([*command, "memory://bucket/rows/a.csv"]) == 0
    assert store.cat("/bucket/rows/a.csv") == (tmp_path / "a.csv").read_bytes()
    assert main([*command, "memory://bucket/rows/a.csv"]) == 1
    assert main([*command, "memory://bucket/rows/a.csv", "--resume"]) == 0
    assert "nothing is left to do" in capsys.readouterr().err
    assert main(["predict", str(tmp_path), *command[2:], "memory://bucket/rows/a.csv", "--resume"]) == 0
    other = image.rename(tmp_path / "b.png")
    assert main(["predict", str(other), *command[2:], "memory://bucket/rows/a.csv", "--resume"]) == 1
    assert "1 new, 1 gone" in capsys.readouterr().err
    assert not list((tmp_path / "cache" / "mien" / "remote" / "out").rglob("*"))
    other.rename(image)
    assert main([*command, "memory://bucket/rows/a.csv", "--force"]) == 0
    assert main([*command, "memory://bucket/rows/a.txt"]) == 1
    assert not store.exists("/bucket/rows/a.txt")


def test_a_copy_that_fails_says_where_the_output_is(
    store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hours of work are not lost with the connection; what is at the address is no pack."""
    command = ["prepare", "folder", "memory://bucket/set", "--size", "32", "--workers", "1"]
    with mock.patch.object(type(store), "put_file", side_effect=OSError("connection lost")):
        assert main([*command, "--out", "memory://bucket/new.pack"]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert "memory://bucket/new.pack cannot be written: OSError: connection lost" in message
    left = Path(message.partition("The finished output is at ")[2].partition(":")[0])
    assert Pack.open(left).info.n_kept == 12


@pytest.mark.parametrize(
    "command",
    [
        ["sample", "s3://bucket/set"],
        ["train", "--pack", "a.pack", "--out", "s3://bucket/run"],
        ["export", "run", "--out", "s3://bucket/model.onnx"],
        ["evaluate", "--pack", "a.pack", "--out", "s3://bucket/report"],
        ["predict", "a.jpg", "--draw", "s3://bucket/drawn"],
        ["compare", "a", "--out", "s3://bucket/table.md"],
    ],
)
def test_other_outputs_are_paths(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address is refused with what to do instead of becoming a folder `s3:`."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(command)
    assert exit_.value.code == 2
    assert "must be a path of this machine, got an address" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_the_advice_works(store: Any, tmp_path: Path) -> None:
    """The commands that the message names copy a folder, there and back."""
    with pytest.raises(ValueError, match="must be a path") as error:
        local_path("memory://bucket/run")
    fetch, write = re.findall(r'python -c "(.*?)"', str(error.value))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    exec(write.replace("PATH", str(tmp_path / "run")))  # noqa: S102
    assert store.cat("/bucket/run/run.json") == b"{}"
    exec(fetch.replace("PATH", str(tmp_path / "fetched")))  # noqa: S102
    assert (tmp_path / "fetched" / "run.json").read_text() == "{}"


def test_nothing_is_written_over_http() -> None:
    with pytest.raises(ValueError, match=r"copy what is to be read first, .*\.get\(") as error:
        local_path("https://host/faces.csv")
    assert ".put(" not in str(error.value)
