"""The model card of a repository: metadata that the Hub reads, then what a person should know before using the model."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mien.assets.hub import SCHEME
from mien.errors import ArtifactError
from mien.formats.onnx_model import ModelInfo
from mien.formats.terms import list_terms
from mien.runtime.language import Language
from mien.runtime.nested import find_dict
from mien.tasks import TASKS

# Of the Hub's identifiers of licenses, those that are met with models; others are `other`, with their text in the card.
LICENSES = (
    *(
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "gpl-3.0",
        "lgpl-3.0",
        "agpl-3.0",
        "mpl-2.0",
        "openrail",
    ),
    *(
        "cc0-1.0",
        "cc-by-4.0",
        "cc-by-sa-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-4.0",
    ),
)
TAGS = ("facial-expression-recognition", "emotion-recognition", "face", "onnx", "mien")
_LIMITS = (
    "An expression is not a feeling: the model predicts what a face looks like to annotators. It is not for decisions about a "
    "person, such as hiring, grading, policing, medicine or credit. In the European Union, inferring emotions at work or in "
    "schools is prohibited (AI Act, Article 5), and persons who are exposed to such a system must be informed (Article 50)."
)


def build_card(
    repo: str,
    info: ModelInfo,
    sha256: str,
    reports: Sequence[Mapping[str, Any]],
    body: str,
    *,
    language: Language,
) -> str:
    """Return the README.md of a repository.

    Args:
        repo: ``ORG/NAME``.
        info: the model's metadata.
        sha256: hash of the model file.
        reports: content of metrics.json of each report.
        body: Markdown of a card that the model has already; empty: one is written from its metadata.
        language: of what is written here.

    Raises:
        ArtifactError: a report lacks a metric.
    """
    from huggingface_hub import EvalResult, ModelCardData  # noqa: PLC0415 - only a push needs it

    results = [EvalResult(**fields) for report in reports for fields in eval_results(report)]
    metadata = ModelCardData(
        library_name="mien",
        pipeline_tag="image-classification",
        tags=list(TAGS),
        **license_fields(info.license),
        **({"model_name": repo.partition("/")[2], "eval_results": results} if results else {}),
    )
    text = body or _describe(repo, info, language)
    tables = "\n".join(_results_table(report, language) for report in reports)
    evaluation = f"\n## {language.text('Evaluation')}\n\n{tables}" if tables else ""
    file = f"\n## {language.text('File')}\n\n" + language.sentence(
        "`model.onnx`, SHA-256 `{sha256}`. mien refuses a file that has changed since it was exported.\n",
        {"sha256": sha256},
    )
    return f"---\n{metadata.to_yaml().strip()}\n---\n\n{text.strip()}\n{evaluation}{file}"


def license_fields(text: str) -> dict[str, str]:
    """Return the Hub's metadata for a license.

    Example:
        >>> license_fields("MIT")
        {'license': 'mit'}
        >>> license_fields("research only")
        {'license': 'other', 'license_name': 'research-only'}
    """
    slug = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
    return (
        {"license": slug} if slug in LICENSES else {"license": "other", "license_name": slug[:60].strip("-.")}
    )


def eval_results(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of a `huggingface_hub.EvalResult` for each metric of each protocol of a report.

    Raises:
        ArtifactError: the report lacks one.
    """
    results = []
    note = "; see the warning in the card" if report.get("warnings") else ""
    try:
        source, split = str(find_dict(report, "pack")["source"]), str(report["split"])
        for protocol, scores in find_dict(report, "protocols").items():
            for key, name, kind in (
                ("accuracy", "Accuracy", "accuracy"),
                ("balanced_accuracy", "Balanced accuracy", "balanced_accuracy"),
                ("macro_f1", "Macro-F1", "f1"),
            ):
                if scores[key] is None:
                    continue
                low, high = scores[f"{key}_ci95"]
                results.append(
                    {
                        "task_type": "image-classification",
                        "task_name": "Facial expression recognition",
                        "dataset_type": source,
                        "dataset_name": f"{source}, {protocol}",
                        "dataset_config": str(protocol),
                        "dataset_split": split,
                        "metric_type": kind,
                        "metric_name": f"{name} (n = {scores['n']:,}, 95% CI {low:.3f} to {high:.3f}{note})",
                        "metric_value": round(scores[key], 4),
                    }
                )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"metrics.json of the report lacks a metric, or it is invalid: {error!r}. Run `mien evaluate` again"
        ) from None
    return results


def _results_table(report: Mapping[str, Any], language: Language) -> str:
    """Return a report's metrics as a table, with what selected the checkpoint."""
    say, source = language.sentence, find_dict(report, "pack").get("source")
    selection = language.text(str(report.get("selection") or "not recorded"))
    lines = [
        say(
            "{source}, split {split}, 95% intervals over faces.",
            {"source": source, "split": report.get("split")},
        ),
        say("Checkpoint: {selection}.", {"selection": selection}) + "\n",
        say("| protocol | n | accuracy | balanced accuracy | macro-F1 |"),
        "|---|---|---|---|---|",
    ]
    for name, scores in find_dict(report, "protocols").items():
        cells = []
        for key in ("accuracy", "balanced_accuracy", "macro_f1"):
            value, interval = scores[key], scores[f"{key}_ci95"]
            cells.append(
                "" if value is None else "{:.1%} [{:.1f}, {:.1f}]".format(value, *(100 * v for v in interval))
            )
        lines.append(
            f"| `{name}`: {language.text(scores['description'])} | {scores['n']:,} | {' | '.join(cells)} |"
        )
    landmarks, affect = find_dict(report, "landmarks"), find_dict(report, "valence_arousal")
    if landmarks.get("nme") is not None:
        low, high = landmarks["nme_ci95"]
        nme = f"{landmarks['nme']:.2%} [{100 * low:.2f}, {100 * high:.2f}]"
        lines.append(
            say(
                "\nLandmark error: {nme} of the distance between the outer eye corners, n = {n}.",
                {"nme": nme, "n": f"{landmarks['n']:,}"},
            )
        )
    for name in ("valence", "arousal"):
        scores = find_dict(affect, name)
        if scores.get("ccc") is not None:
            low, high = scores["ccc_ci95"]
            values = {"ccc": f"{scores['ccc']:.3f} [{low:.3f}, {high:.3f}]", "n": f"{scores['n']:,}"}
            lines.append(say("\nCCC of {dimension}: {ccc}, n = {n}.", {"dimension": name, **values}))
    lines += [say("\n**Warning:** {warning}", {"warning": one}) for one in report.get("warnings") or ()]
    return "\n".join(lines) + "\n"


def _describe(repo: str, info: ModelInfo, language: Language) -> str:
    """Return a card written from a model's metadata."""
    say, training, pack = language.sentence, info.training, find_dict(info.training, "pack")
    separator = say(", ")
    predicts = say(
        "Predicts {tasks} from a face. Classes: {classes}. A {backbone} at {size} px as one ONNX file that runs on any CPU.",
        {
            "tasks": separator.join(language.text(TASKS[task].title) for task in info.tasks),
            "classes": separator.join(map(language.class_name, info.classes)),
            "backbone": training.get("backbone", "network"),
            "size": info.input_size,
        },
    )
    used = say(
        "On the command line: `mien predict photo.jpg --model {address}`; `mien serve` and `mien page` take it too.",
        {"address": f"{SCHEME}{repo}"},
    )
    n_train, source = pack.get("n_train"), pack.get("source") or say("Not recorded")
    faces = say(
        "{source}: {n} faces.",
        {"source": source, "n": f"{n_train:,}" if isinstance(n_train, int) else say("an unknown number of")},
    )
    counts = pack.get("train_counts")
    if isinstance(counts, list) and len(counts) == len(info.classes):
        by_class = zip(info.classes, counts, strict=True)
        shown = separator.join(f"{language.class_name(name)} {count:,}" for name, count in by_class)
        faces += say(" By class: {counts}.", {"counts": shown})
    terms = "".join(f"- {line}\n" for line in list_terms(find_dict(pack, "terms")))
    selection = language.text(str(training.get("selection") or "not recorded"))
    license_text = say(
        "Weights: {license}. The terms of the training data, above, may limit their use.",
        {"license": info.license},
    )
    return f"""# {repo.partition("/")[2]}

{predicts}

```python
import mien

model = mien.load("{SCHEME}{repo}")  # pip install 'mien[hub]'
for face in model.predict("photo.jpg"):
    print(face.expression, face.confidence)
```

{used}

## {say("Training data")}

{faces}

{terms or say("Its terms of use are not recorded.") + chr(10)}
{say("Checkpoint: {selection}.", {"selection": selection})}

## {say("License")}

{license_text}

## {say("Limitations")}

{say(_LIMITS)}
"""
