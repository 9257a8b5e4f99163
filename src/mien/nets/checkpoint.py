"""Loading a finished run's selected network, for `export` and for distillation."""

from safetensors import SafetensorError
from safetensors.torch import load_file

from mien.errors import ArtifactError
from mien.formats.run import TRAIN_AGAIN, WEIGHTS, Run
from mien.nets.network import FaceNetwork, build_face_network
from mien.recipe import recipe_from_dict


def load_network(run: Run) -> FaceNetwork:
    """Return a run's network with its selected weights, in evaluation mode.

    Raises:
        ArtifactError: the weights are missing, damaged, changed or of another network, or the run is from another release.
    """
    try:
        recipe = recipe_from_dict(run.recipe)
    except ArtifactError as error:
        raise ArtifactError(f"{run.path}: {error}") from None
    run.require_unchanged(WEIGHTS)
    network = build_face_network(
        recipe.model,
        len(run.classes),
        input_size=recipe.data.input_size,
        pretrained=False,
        annotations=run.annotations,
    )
    try:
        network.load_state_dict(load_file(run.best_weights_path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(f"{run.best_weights_path} cannot be loaded: {reason}. {TRAIN_AGAIN}") from None
    return network.eval()
