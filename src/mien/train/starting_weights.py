"""What a run starts from: the weights that `model.weights` names, and the network that they belong to."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mien.artifacts import file_sha256
from mien.assets import DEFAULT_MODEL
from mien.assets.bundled_models import bundled_name, find_model
from mien.assets.hub import fetch_model, is_hub_address
from mien.errors import ModelError
from mien.faces.crop import CropContract, resize_crop
from mien.formats.onnx_model import OnnxModel
from mien.formats.run import WEIGHTS, Run
from mien.nets.model_file_network import read_recipe_of, rebuild_network, standardize_norms
from mien.nets.network import FaceNetwork
from mien.nets.weight_files import read_weights
from mien.nets.weight_names import Fit, fit_backbone
from mien.recipe import DEFAULT_BACKBONE, DataConfig, ModelConfig, Recipe, recipe_from_dict
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations, optional_tasks
from mien.train.dataset import LabeledFaces

# What `model.weights` calls the default bundled model.
BUNDLED = "bundled"
# Keys that the network of `model.weights` decides where the recipe names no backbone.
ARCHITECTURE = ("stem_stride", "head_hidden_size", "condition_on_landmarks", "grayscale")
# At least this fraction of the backbone must be in a file.
MIN_FRACTION = 0.5
# Training faces on which batch norms that come from a model file are standardized.
N_NORM_FACES = 512
_SHOWN_NAMES = 4


class Origin(NamedTuple):
    """A run or a model file that another run starts from.

    Attributes:
        recipe: its recipe.
        classes: its classes, in logit order.
        crop: how its faces were cropped.
        pack: source and counts of the pack that it was trained on.
        annotations: the columns of its optional tasks.
    """

    recipe: Recipe
    classes: tuple[str, ...]
    crop: CropContract
    pack: dict[str, Any]
    annotations: Annotations


class LoadedWeights(NamedTuple):
    """What was loaded into a network. Its text is what the command prints.

    Attributes:
        name: as the recipe names it.
        sha256: hash of the file.
        fit: how the file fits the backbone.
        heads: names of the heads that were loaded in full.
        classes: expressions whose part of the expression head was loaded.
        new_classes: expressions that start from scratch.
        unused: names in the file that were not used.
    """

    name: str
    sha256: str
    fit: Fit
    heads: tuple[str, ...]
    classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        fit = self.fit
        how = "by order and shape, since its names are another library's" if fit.by_order else "by name"
        lines = [f"{self.name}: {fit.n_matched} of the backbone's {fit.n_total} tensors loaded {how}"]
        if fit.missing:
            lines.append(f"left at their initialization: {_shorten(fit.missing)}")
        heads = [*self.heads, *([f"expression ({_shorten(self.classes, 12)})"] if self.classes else [])]
        if heads:
            lines.append(f"heads: {', '.join(heads)}")
        if self.new_classes:
            lines.append(f"expressions from scratch: {_shorten(self.new_classes, 12)}")
        if self.unused:
            lines.append(f"not used: {_shorten(self.unused)}")
        return "; ".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the record for provenance.json."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "n_matched": self.fit.n_matched,
            "n_backbone": self.fit.n_total,
            "matched": "by order" if self.fit.by_order else "by name",
            "prefix": self.fit.prefix,
            "left_at_initialization": list(self.fit.missing),
            "heads": list(self.heads),
            "classes": list(self.classes),
            "not_used": list(self.unused),
        }


def _shorten(names: tuple[str, ...], n_shown: int = _SHOWN_NAMES) -> str:
    rest = f" and {len(names) - n_shown:,} more" if len(names) > n_shown else ""
    return ", ".join(names[:n_shown]) + rest


def find_weights(name: str) -> Path:
    """Return the run or file that `model.weights` names. What exists takes precedence over a bundled model.

    Raises:
        ArtifactError: the file of a bundled model has been modified, or a model on the Hub cannot be fetched.
        MissingExtraError: it is on the Hub, and huggingface_hub is not installed.
        ModelError: there is neither.
    """
    path = Path(name)
    if path.exists():
        return path
    if is_hub_address(name):
        return fetch_model(name)
    if name == BUNDLED or bundled_name(name) is not None:
        return find_model(DEFAULT_MODEL if name == BUNDLED else name)
    raise ModelError(
        f"`model.weights` {name} does not exist. Name a run, a model file (.onnx) or its address (hf://ORG/NAME), a file "
        f"of weights (safetensors, .pth), or `{BUNDLED}` for the bundled model"
    )


def read_origin(path: Path) -> Origin | None:
    """Describe the network of a run or a model file; None for a file of weights, which does not describe its own.

    Raises:
        ArtifactError: the run or the model file is missing, damaged, changed or from another release.
        ModelError: the model file does not say how its network is built.
    """
    if path.is_dir():
        run = Run.open(path)
        run.require_unchanged("run.json")
        return Origin(recipe_from_dict(run.recipe), run.classes, run.crop, run.pack, run.annotations)
    if path.suffix.lower() == ".onnx":
        info = OnnxModel.load(path).info
        pack = info.training.get("pack", {})
        return Origin(read_recipe_of(info, path), info.classes, info.crop, pack, info.annotations)
    return None


def adopt_network(recipe: Recipe, crop: CropContract) -> Recipe:
    """Return the recipe with a backbone: where it names none, that of `model.weights`, or the default.

    With the backbone come the other keys that describe the network, and its input size, unless the recipe sets them.

    Args:
        recipe: the recipe.
        crop: how the pack's faces are cropped.

    Raises:
        ArtifactError: the run or the model file to start from is missing or damaged.
        ModelError: it was trained on other crops.
    """
    model, size = recipe.model, recipe.data.input_size
    if model.backbone is not None:
        return recipe
    origin = None if model.weights is None else read_origin(find_weights(model.weights))
    if origin is None:
        return replace(recipe, model=replace(model, backbone=DEFAULT_BACKBONE))
    before = origin.recipe
    if misfit := origin.crop.explain_misfit(crop, subject=f"`model.weights` {model.weights}"):
        raise ModelError(
            f"{misfit}, or name the backbone to start from it all the same: `--model.backbone {before.model.backbone}`"
        )
    defaults = {entry.name: entry.default for entry in (*fields(ModelConfig), *fields(DataConfig))}
    taken: dict[str, Any] = {
        key: getattr(before.model, key) for key in ARCHITECTURE if getattr(model, key) == defaults[key]
    }
    model = replace(model, backbone=before.model.backbone, **taken)
    size = before.data.input_size if size == defaults["input_size"] else size
    return replace(recipe, model=model, data=replace(recipe.data, input_size=size))


def load_weights(
    network: FaceNetwork,
    recipe: Recipe,
    classes: tuple[str, ...],
    faces: LabeledFaces,
    annotations: Annotations = NO_ANNOTATIONS,
) -> LoadedWeights:
    """Load the weights that `model.weights` names; what is not in them, or has another shape, keeps its values.

    Of the expression head, the part of each class with the same name is loaded; a head of an optional task only if its
    columns are the same.

    Args:
        network: the network.
        recipe: its recipe, with `model.weights`: a run, a file, or the name of a bundled model.
        classes: the network's classes.
        faces: the training faces; some of them standardize the batch norms of a model file's network.
        annotations: the columns of the network's optional tasks.

    Raises:
        ArtifactError: the run or the model file is missing, damaged or changed.
        ModelError: the file is missing or cannot be read, or less than half of the backbone is in it.
    """
    name = str(recipe.model.weights)
    path = find_weights(name)
    origin, norms = read_origin(path), tuple[str, ...]()
    if path.is_dir():
        run = Run.open(path)
        run.require_unchanged(WEIGHTS)
        path = run.best_weights_path
    if path.suffix.lower() == ".onnx":
        rebuilt, norms = rebuild_network(path)
        tensors = rebuilt.state_dict()
    else:
        tensors = read_weights(path)
    fit = fit_backbone(tensors, network.backbone.state_dict())
    if fit.n_matched < MIN_FRACTION * fit.n_total:
        known = "" if origin is None else f": {origin.recipe.model.backbone}"
        raise ModelError(
            f"`model.weights` {name} fits only {fit.n_matched} of the backbone's {fit.n_total} tensors. Set "
            f"`model.backbone` to the backbone that it was trained with{known}"
        )
    heads, known_classes = _fit_heads(network, tensors, fit, origin, classes)
    broken = [name for name, value in {**fit.tensors, **heads}.items() if not value.isfinite().all()]
    if broken:
        raise ModelError(
            f"`model.weights` {name} has NaN or infinite values in {_shorten(tuple(broken))}: its training diverged, or the "
            "file is damaged. Use an earlier checkpoint"
        )
    for task in optional_tasks():
        # A file of weights alone does not say what the columns of its heads are.
        theirs = None if origin is None else origin.annotations.get(task)
        if theirs != annotations.get(task):
            head = f"{TASKS[task].head}."
            heads = {each: value for each, value in heads.items() if not each.startswith(head)}
    network.load_state_dict(
        {**{f"backbone.{own}": value for own, value in fit.tensors.items()}, **heads}, strict=False
    )
    norms = tuple(name for name in norms if f"{name.removeprefix('backbone.')}.weight" in fit.tensors)
    if norms:
        n_faces = min(len(faces), N_NORM_FACES)
        chosen = np.linspace(0, len(faces) - 1, n_faces).round().astype(int)
        size = recipe.data.input_size
        crops = np.stack([resize_crop(faces.image(int(face)), size) for face in chosen])
        standardize_norms(network, norms, torch.from_numpy(crops))
    base = fit.prefix.removesuffix("backbone.")
    return LoadedWeights(
        name,
        file_sha256(path),
        fit,
        tuple(dict.fromkeys(head.split(".")[0] for head in heads if not head.startswith("expression_head"))),
        known_classes,
        tuple(each for each in classes if origin is not None and each not in known_classes),
        tuple(each for each in fit.unused if each.removeprefix(base) not in heads),
    )


def _fit_heads(
    network: FaceNetwork,
    tensors: dict[str, Tensor],
    fit: Fit,
    origin: Origin | None,
    classes: tuple[str, ...],
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the head tensors to load from an earlier network of mien's, and the classes among them."""
    base = fit.prefix.removesuffix("backbone.")
    own = network.state_dict()
    has_hidden = base + "hidden.weight" in tensors
    if base == fit.prefix or has_hidden != ("hidden.weight" in own):
        return {}, ()
    theirs = {name: tensors[base + name] for name in own if base + name in tensors}
    heads = {
        name: value
        for name, value in theirs.items()
        if not name.startswith(("backbone.", "expression_head.")) and value.shape == own[name].shape
    }
    weight = theirs.get("expression_head.weight")
    known = tuple(name for name in classes if origin is not None and name in origin.classes)
    # A file of weights alone does not say which class is which.
    if (
        not known
        or origin is None
        or weight is None
        or weight.shape[1] != own["expression_head.weight"].shape[1]
    ):
        return heads, ()
    rows, columns = [classes.index(name) for name in known], [origin.classes.index(name) for name in known]
    for name in ("expression_head.weight", "expression_head.bias"):
        heads[name] = own[name].clone()
        heads[name][rows] = theirs[name][columns]
    return heads, known
