"""The networks of a run: its own with random or ImageNet weights, and its teacher."""

from pathlib import Path

import torch

from mien.errors import ModelError
from mien.faces.crop import CropContract
from mien.formats.run import Run
from mien.nets.checkpoint import load_network
from mien.nets.network import FaceNetwork, build_face_network
from mien.recipe import Recipe
from mien.tasks import NO_ANNOTATIONS, Annotations
from mien.train.objective import Teacher


def build_network(
    recipe: Recipe,
    classes: tuple[str, ...],
    annotations: Annotations = NO_ANNOTATIONS,
    *,
    random_weights: bool = False,
) -> FaceNetwork:
    """Build the network of a recipe, with random weights or those of ImageNet.

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
    return build_face_network(
        model,
        len(classes),
        input_size=recipe.data.input_size,
        pretrained=model.pretrained and model.weights is None and not random_weights,
        annotations=annotations,
    )


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
    if misfit := run.crop.explain_misfit(crop, subject=f"The teacher {run.path}"):
        raise ModelError(misfit)
    columns = [run.classes.index(name) for name in classes]
    return Teacher(load_network(run), columns, run.recipe["data"]["input_size"])
