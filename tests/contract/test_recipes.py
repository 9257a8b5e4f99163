"""Every shipped recipe is read, and says at its head how it is used."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("yaml", reason="recipes need the train extra")

import yaml

from mien.recipe import Recipe, format_recipe, read_recipe

FOLDER = Path(__file__).parents[2] / "src" / "mien" / "assets" / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
PARTS = sorted(FOLDER.glob("*/*.yaml"))


def name_of(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def test_there_are_recipes() -> None:
    """The folder is where this test looks for it."""
    assert FOLDER / "demo.yaml" in RECIPES
    assert PARTS


def read_yaml(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested mappings, the second's values where both have one."""
    nested = {
        key for key, value in above.items() if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return below | above | {key: laid_over(below[key], above[key]) for key in nested}


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_a_recipe_holds_what_its_files_say(path: Path) -> None:
    """Each value of the recipe and of its part files arrives, and everything else is the default."""
    parts = read_yaml(path)
    values = asdict(read_recipe(path, []))
    for name, defaults in asdict(Recipe()).items():
        part = parts.get(name, {})
        part = {"from": part} if isinstance(part, str) else dict(part)
        file = part.pop("from", None)
        below = read_yaml(path.parent / file) if file else {}
        assert values[name] == laid_over(laid_over(defaults, below), part)


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_a_printed_recipe_is_the_recipe(path: Path, tmp_path: Path) -> None:
    """What --print_config prints is read back as the same recipe."""
    recipe = read_recipe(path, [])
    (tmp_path / "printed.yaml").write_text(format_recipe(recipe), encoding="utf-8")
    assert read_recipe(tmp_path / "printed.yaml", []) == recipe


@pytest.mark.parametrize("path", PARTS, ids=name_of)
def test_a_part_file_fits_the_part_of_its_folder(path: Path) -> None:
    """Any part file can stand in any recipe, and says something that is not the default."""
    recipe = read_recipe(None, [f"--{path.parent.name}", str(path)])
    assert yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(recipe, Recipe)


@pytest.mark.parametrize("path", [*RECIPES, *PARTS], ids=name_of)
def test_a_recipe_begins_with_a_word_for_people(path: Path) -> None:
    """The first line says what it is; a whole recipe also gives the command that uses it."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    if path in RECIPES:
        from_packs = "" if read_recipe(path, []).data.packs else " --pack "
        assert f"# Command:  mien train --recipe {path.stem}{from_packs}" in text
