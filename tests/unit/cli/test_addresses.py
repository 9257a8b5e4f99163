"""Commands that read packs and raw sets at addresses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest

from mien.cli import main
from mien.cli.parser import path_or_address


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
