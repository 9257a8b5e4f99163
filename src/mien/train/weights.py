"""The networks that a run starts from: its own with the first weights, and its teacher."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mien.errors import ModelError
from mien.faces.crop import CropContract
from mien.formats.run import WEIGHTS, Run
from mien.nets.checkpoint import load_network
from mien.nets.network import FaceNetwork, build_face_network
from mien.recipe import Recipe
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations, optional_tasks
from mien.train.objective import Teacher


def build_network(
    recipe: Recipe,
    classes: tuple[str, ...],
    annotations: Annotations = NO_ANNOTATIONS,
    *,
    random_weights: bool = False,
) -> FaceNetwork:
    """Build the network of a recipe with its first weights.

    Args:
        recipe: the recipe.
        classes: expressions to tell apart.
        annotations: the columns of optional tasks.
        random_weights: leave the weights random, since others will be loaded.

    Raises:
        ModelError: there is no such backbone, or its weights are not available.
    """
    torch.manual_seed(recipe.runtime.seed)
    model = recipe.model
    network = build_face_network(
        model,
        len(classes),
        input_size=recipe.data.input_size,
        pretrained=model.pretrained and model.weights is None and not random_weights,
        annotations=annotations,
    )
    if model.weights is not None and not random_weights:
        load_weights(network, Path(model.weights), classes, annotations)
    return network


def load_weights(
    network: FaceNetwork, path: Path, classes: tuple[str, ...], annotations: Annotations = NO_ANNOTATIONS
) -> None:
    """Load every weight with a matching name and shape from a run or a file.

    The expression head of a run with other classes is not loaded, nor a head of an optional task with other columns.

    Raises:
        ArtifactError: the run is missing, or its files have changed.
        ModelError: the file is missing or unreadable, or its backbone is another.
    """
    if not path.exists():
        raise ModelError(f"`model.weights` {path} does not exist. Name an earlier run or a safetensors file")
    run = Run.open(path) if path.is_dir() else None
    if run is not None:
        run.require_unchanged("run.json")
        run.require_unchanged(WEIGHTS)
        path = run.best_weights_path
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"`model.weights` {path} cannot be read as safetensors: {error}") from None
    if run is not None:
        others = [task for task in optional_tasks() if run.annotations.get(task) != annotations.get(task)]
        others += ["expression"] * (run.classes != classes)
        prefixes = tuple(f"{TASKS[task].head}." for task in others)
        weights = {name: value for name, value in weights.items() if not name.startswith(prefixes)}
    own = network.state_dict()
    matching = {
        name: value
        for key, value in weights.items()
        for name in (key, f"backbone.{key}")
        if name in own and own[name].shape == value.shape
    }
    n_backbone = sum(name.startswith("backbone.") for name in own)
    n_found = sum(name.startswith("backbone.") for name in matching)
    if n_found < n_backbone:
        raise ModelError(
            f"`model.weights` {path} fits only {n_found} of the backbone's {n_backbone} tensors. "
            "Set `model.backbone` to the backbone that it was trained with"
        )
    network.load_state_dict(matching, strict=False)


def load_teacher(recipe: Recipe, classes: tuple[str, ...], crop: CropContract) -> Teacher | None:
    """Return the recipe's teacher, which must know every class of the run and have been trained on the same crops.

    Raises:
        ArtifactError: the run is missing, unfinished or damaged.
        ModelError: it lacks a class, or was trained on other crops.
    """
    if recipe.schedule.loss.teacher is None:
        return None
    run = Run.open(Path(recipe.schedule.loss.teacher))
    run.read_result()
    unknown = [name for name in classes if name not in run.classes]
    if unknown:
        raise ModelError(
            f"The teacher {run.path} does not know {', '.join(unknown)}, it knows {', '.join(run.classes)}. "
            "List the classes that it knows in `data.classes`"
        )
    if not run.crop.crops_like(crop):
        raise ModelError(
            f"The teacher {run.path} was trained on {run.crop.method} crops with margin {run.crop.margin:g}, the pack has "
            f"{crop.method} crops with margin {crop.margin:g}. Prepare the pack like the teacher's"
        )
    columns = [run.classes.index(name) for name in classes]
    return Teacher(load_network(run), columns, run.recipe["data"]["input_size"])
