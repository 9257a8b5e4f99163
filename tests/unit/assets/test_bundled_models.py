"""Looking up model files by name."""

from hashlib import sha256
from pathlib import Path

import pytest

from mien.assets import bundled_models
from mien.errors import ArtifactError


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the bundled models by two empty ones, one with a card, and return their folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("another", "first-int8"):
        (folder / f"{name}.onnx").touch()
    (folder / "first-int8.md").write_text("# First", encoding="utf-8")
    monkeypatch.setattr(bundled_models, "FOLDER", folder)
    monkeypatch.setattr(bundled_models, "DEFAULT_MODEL", "first-int8")
    empty = sha256(b"").hexdigest()
    monkeypatch.setattr(bundled_models, "SHA256", dict.fromkeys(("another", "first-int8"), empty))
    return folder


def test_default_comes_first(models: Path) -> None:
    assert bundled_models.model_names() == ("first-int8", "another")
    assert bundled_models.find_model() == models / "first-int8.onnx"
    assert bundled_models.find_model("another") == models / "another.onnx"


def test_bundled_models_match_their_hashes() -> None:
    """Every bundled file is the one that was released."""
    names = bundled_models.model_names()
    assert {bundled_models.find_model(name).stem for name in names} == set(bundled_models.SHA256)


@pytest.mark.parametrize("name", [None, "another"])
def test_damaged_installation_is_reported(models: Path, name: str | None) -> None:
    """A bundled file with different content is not used."""
    path = bundled_models.find_model(name)
    path.write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"has changed since it was written.*Install mien again"):
        bundled_models.find_model(name)


def test_file_takes_precedence_over_name(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("another").touch()
    assert bundled_models.find_model("another") == Path("another")


@pytest.mark.parametrize("wrong", ["first-int", "nothing/at/all.onnx"])
def test_unknown_model_lists_the_bundled_ones(models: Path, wrong: str) -> None:
    with pytest.raises(ArtifactError, match=r"does not exist.*Bundled models: first-int8, another") as raised:
        bundled_models.find_model(wrong)
    assert ("Did you mean first-int8?" in str(raised.value)) == (wrong == "first-int")


def test_folder_is_not_a_model(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is a folder"):
        bundled_models.find_model(tmp_path)


def test_card_is_read_from_beside_the_model(models: Path) -> None:
    assert bundled_models.read_card(bundled_models.find_model()) == "# First"
    assert not bundled_models.read_card(bundled_models.find_model("another"))


def test_card_with_invalid_utf8_is_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.md").write_bytes(b"\xff card")
    assert bundled_models.read_card(tmp_path / "m.onnx") == "\ufffd card"
