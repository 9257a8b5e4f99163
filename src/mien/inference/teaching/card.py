"""The model card of a taught model, written from its metadata."""

from typing import Any

from mien.formats.onnx_model import ModelInfo


def write_card(info: ModelInfo, name: str) -> str:
    """Return the card in Markdown of a model whose metadata has ``training.taught``."""
    taught: dict[str, Any] = info.training["taught"]
    found = taught["cross_validation"]
    rows = "\n".join(
        f"| {row} | {one['n']} | {one['groups']} | {100 * one['recall']:.0f} |"
        for row, one in found["classes"].items()
    )
    origin = [
        (
            f"Taught on {found['n']} faces with `mien teach`: a linear layer on the features of {taught['model']}, whose "
            "network is unchanged."
        )
    ]
    if taught["kept_classes"]:
        origin.append(
            f"{', '.join(taught['kept_classes'])} are that model's classes, with its odds between them."
        )
    origin += [f"{into} is {' + '.join(names)}." for into, names in taught["merged"].items()]
    return f"""# {name}

Predicts {", ".join(info.classes)}. {" ".join(origin)}

## Performance

Cross-validation over the {found["n"]} faces that it was taught on, in {taught["folds"]} folds: near-duplicates, and the faces of
a person where persons were named, are in the same fold, and the penalty was chosen without the faces that it was measured on.
Faces of other people, cameras and light can be harder: measure the file on a separate set with `mien evaluate`.

| | estimate, % | 95 % interval, % | always the most common class, % |
|---|---|---|---|
| balanced accuracy | {_percent(found, "balanced_accuracy")} | {100 * found["majority_balanced_accuracy"]:.1f} |
| accuracy (n = {found["n"]}) | {_percent(found, "accuracy")} | {100 * found["majority_accuracy"]:.1f} |

| class | faces | groups of near-duplicates or persons | found, % |
|---|---|---|---|
{rows}

## Training data

The faces above, chosen and labeled by the person who taught the model. For the network's own training data, see the card of
{taught["model"]}.

## License

{info.license or "Not stated."}

## Limitations

Those of {taught["model"]}, and: a face that shows none of these classes still gets one of them, and the probabilities
assume that all taught classes are equally common.

## Intended use

An expression is not a feeling: the model predicts what a face looks like. Not for decisions about a person. Inferring
people's emotions at work or in schools is prohibited in the European Union (AI Act, Article 5).
"""


def _percent(found: dict[str, Any], key: str) -> str:
    low, high = found[f"{key}_ci95"]
    return f"{100 * found[key]:.1f} | [{100 * low:.1f}, {100 * high:.1f}]"
