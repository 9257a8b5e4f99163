"""Which file a model's name means."""

from hashlib import sha256
from pathlib import Path

import pytest

from mien import zoo
from mien.errors import ArtifactError


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a box of two models, one with a card."""
    folder = tmp_path / "box"
    folder.mkdir()
    for name in ("another", "first-int8"):
        (folder / f"{name}.onnx").touch()
    (folder / "first-int8.md").write_text("# First", encoding="utf-8")
    monkeypatch.setattr(zoo, "FOLDER", folder)
    monkeypatch.setattr(zoo, "DEFAULT_MODEL", "first-int8")
    empty = sha256(b"").hexdigest()
    monkeypatch.setattr(zoo, "SHA256", dict.fromkeys(("another", "first-int8"), empty))
    return folder


def test_the_default_comes_first(box: Path) -> None:
    assert zoo.model_names() == ("first-int8", "another")
    assert zoo.find_model() == box / "first-int8.onnx"
    assert zoo.find_model("another") == box / "another.onnx"


def test_bundled_models_are_those_that_were_shipped() -> None:
    """Each bundled file has its hash."""
    assert {zoo.find_model(name).stem for name in zoo.model_names()} == set(zoo.SHA256)


@pytest.mark.parametrize("name", [None, "another"])
def test_a_damaged_installation_is_told(box: Path, name: str | None) -> None:
    """A bundled file that is another one, or is not there, is not used."""
    path = zoo.find_model(name)
    path.write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"has changed since it was written.*Install mien again"):
        zoo.find_model(name)


def test_a_file_goes_before_a_name(box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("another").touch()
    assert zoo.find_model("another") == Path("another")


@pytest.mark.parametrize("wrong", ["first-int", "nothing/at/all.onnx"])
def test_what_is_neither_names_those_that_are(box: Path, wrong: str) -> None:
    with pytest.raises(ArtifactError, match=r"does not exist.*In the box: first-int8, another") as raised:
        zoo.find_model(wrong)
    assert ("Did you mean first-int8?" in str(raised.value)) == (wrong == "first-int")


def test_a_folder_is_no_model(box: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is a folder"):
        zoo.find_model(tmp_path)


def test_the_card_lies_beside_the_model(box: Path) -> None:
    assert zoo.read_card(zoo.find_model()) == "# First"
    assert not zoo.read_card(zoo.find_model("another"))


def test_a_card_that_is_no_text_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "m.md").write_bytes(b"\xff card")
    assert zoo.read_card(tmp_path / "m.onnx") == "\ufffd card"
