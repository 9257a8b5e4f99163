"""Every sentence of the pages has its translation, and every translation its sentence."""

import ast
import re
from pathlib import Path

import pytest

import mien
from mien.faces.action_units import TITLES
from mien.faces.classes import AFFECTNET_CLASSES
from mien.runtime.language import Language

jinja2 = pytest.importorskip("jinja2", reason="Jinja2 is part of the data extra")
yaml = pytest.importorskip("yaml", reason="PyYAML is part of the data extra")

SOURCE = Path(mien.__file__).parent
PLACEHOLDER = re.compile(r"\{(\w+)(?::\w+)?\}")


@pytest.fixture(scope="module")
def table() -> dict:
    return yaml.safe_load((SOURCE / "runtime" / "locales" / "zh.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def on_pages() -> set[str]:
    """The sentences that templates translate."""
    found = set()
    for path in SOURCE.rglob("*.j2"):
        for call in jinja2.Environment().parse(path.read_text("utf-8")).find_all(jinja2.nodes.Call):
            if isinstance(call.node, jinja2.nodes.Name) and call.node.name == "_":
                found.add(call.args[0].value)
    return found


@pytest.fixture(scope="module")
def constants() -> set[str]:
    """The texts in the code, without what f-strings insert."""
    return {
        node.value
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_sentence_of_a_template_is_translated(table: dict, on_pages: set[str]) -> None:
    assert len(on_pages) > 100
    assert on_pages - {entry["en"] for entry in table["sentences"]} == set()


def test_no_translation_is_of_a_sentence_that_is_gone(
    table: dict, on_pages: set[str], constants: set[str]
) -> None:
    # Titles of tasks are capitalized, and so are dimensions.
    known = on_pages | constants | {text.capitalize() for text in constants}
    joined = {"no faces, never predicted"}
    assert {entry["en"] for entry in table["sentences"]} - known - joined == set()
    # What follows a placeholder that is empty in other sentences is apart from it in the code.
    code, apart = "\n".join(constants), re.compile(r"\{\w+\}|, flip averaged| px(?= with)")
    pieces = {piece for entry in table["filled"] for piece in apart.split(entry["en"])}
    assert {piece for piece in pieces if piece not in code} == set()


def test_no_sentence_is_translated_twice_and_none_loses_a_value(table: dict) -> None:
    entries = [*table["sentences"], *table["filled"]]
    assert len({entry["en"] for entry in entries}) == len(entries)
    for entry in entries:
        # Chinese has no plural.
        values = set(PLACEHOLDER.findall(entry["en"])) - {"unit"}
        assert set(PLACEHOLDER.findall(entry["zh"])) == values, entry["en"]


def test_classes_and_action_units_are_called_as_on_the_web_page(table: dict) -> None:
    path = SOURCE.parents[1] / "page" / "src" / "locales" / "zh.ts"
    if not path.is_file():
        pytest.skip("the page's source is not there")
    words = path.read_text("utf-8")
    page = dict(re.findall(r'(\w+): "([^"]+)"', words[words.index("classes: {") :]))
    assert set(table["classes"]) == set(AFFECTNET_CLASSES)
    assert {name: text for name, text in table["classes"].items() if name in page} == {
        name: text for name, text in page.items() if name in AFFECTNET_CLASSES
    }
    chinese = Language.load("zh")
    assert {f"AU{n:02d}": chinese.text(title) for n, title in TITLES.items()} == {
        name: text for name, text in page.items() if name.startswith("AU")
    }


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "best accuracy of 30 epochs on a dev split of train (n = 2500), epoch 7",
            "在训练集划出的 dev 子集（n = 2500）上，按 accuracy 从 30 个 epoch 中选出第 7 个",
        ),
        # A value that is a sentence, and one that is the name of a class.
        (
            "The model was trained on box crops of 48 px with margin 0.1, the pack has whole crops of 32 px, which are upscaled to 48 px: that lowers its accuracy. Prepare the dataset with `--crop box --margin 0.1 --size 48`",
            "模型训练时用的是 box 裁剪，48 px，边距 0.1，这个数据包是 whole 裁剪，32 px，会被放大到 48 px：这会降低准确率。请用 `--crop box --margin 0.1 --size 48` 重新准备数据",
        ),
        ("Happy to no {such} class (3)", "高兴 Happy → no {such} class（3）"),
        ("nobody wrote this", "nobody wrote this"),
        ("", ""),
    ],
)
def test_a_sentence_with_its_values_is_recognized(english: str, chinese: str) -> None:
    assert Language.load("zh").text(english) == chinese
    assert Language.load("en").text(english) == english


def test_an_unknown_language() -> None:
    with pytest.raises(ValueError, match="`language` must be one of en, zh, got 'de'"):
        Language.load("de")  # type: ignore[arg-type]
