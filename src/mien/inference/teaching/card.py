"""The model card of a taught model, written from its metadata."""

from typing import Any

from mien.formats.onnx_model import ModelInfo
from mien.runtime.language import Language

_MEASURED = (
    "Cross-validation over the {n} faces that it was taught on, in {folds} folds: near-duplicates, and the faces of a person "
    "where persons were named, are in the same fold, and the penalty was chosen without the faces that it was measured on. "
    "Faces of other people, cameras and light can be harder: measure the file on a separate set with `mien evaluate`."
)
_DATA = (
    "The faces above, chosen and labeled by the person who taught the model. For the network's own training data, see the "
    "card of {model}."
)
_LIMITS = (
    "Those of {model}, and: a face that shows none of these classes still gets one of them, and the probabilities assume that "
    "all taught classes are equally common."
)
_USE = (
    "An expression is not a feeling: the model predicts what a face looks like. Not for decisions about a person. "
    "Inferring people's emotions at work or in schools is prohibited in the European Union (AI Act, Article 5)."
)


def write_card(info: ModelInfo, name: str, language: Language) -> str:
    """Return the card in Markdown of a model whose metadata has ``training.taught``."""
    taught: dict[str, Any] = info.training["taught"]
    found = taught["cross_validation"]
    say, model = language.sentence, {"model": taught["model"]}
    rows = "\n".join(
        f"| {language.class_name(row)} | {one['n']} | {one['groups']} | {100 * one['recall']:.0f} |"
        for row, one in found["classes"].items()
    )
    return f"""# {name}

{_predicts(info, taught, language)}

## {say("Performance")}

{say(_MEASURED, {"n": found["n"], "folds": taught["folds"]})}

| | {say("estimate, %")} | {say("95% interval, %")} | {say("always the most common class, %")} |
|---|---|---|---|
| {say("balanced accuracy")} | {_percent(found, "balanced_accuracy")} |
| {say("accuracy")} | {_percent(found, "accuracy")} |

| {say("class")} | n | {say("groups of near-duplicates or persons")} | {say("found, %")} |
|---|---|---|---|
{rows}

## {say("Training data")}

{say(_DATA, model)}

## {say("License")}

{info.license or say("Not stated.")}

## {say("Limitations")}

{say(_LIMITS, model)}

## {say("Intended use")}

{say(_USE)}
"""


def _predicts(info: ModelInfo, taught: dict[str, Any], language: Language) -> str:
    """Return the sentences on the classes and where they are from."""
    say = language.sentence

    def list_classes(names: list[str] | tuple[str, ...], separator: str) -> str:
        return separator.join(map(language.class_name, names))

    text = say(
        "Predicts {classes}. Taught on {n} faces with `mien teach`: a linear layer on the features of {model}, whose network "
        "is unchanged.",
        {
            "classes": list_classes(info.classes, say(", ")),
            "n": taught["cross_validation"]["n"],
            "model": taught["model"],
        },
    )
    if taught["kept_classes"]:
        text += say(
            " {classes} are that model's classes, with its odds between them.",
            {"classes": list_classes(taught["kept_classes"], say(", "))},
        )
    for into, names in taught["merged"].items():
        text += say(" {into:class} is {names}.", {"into": into, "names": list_classes(names, " + ")})
    return text


def _percent(found: dict[str, Any], key: str) -> str:
    low, high = found[f"{key}_ci95"]
    majority = found[f"majority_{key}"]
    return f"{100 * found[key]:.1f} | [{100 * low:.1f}, {100 * high:.1f}] | {100 * majority:.1f}"
