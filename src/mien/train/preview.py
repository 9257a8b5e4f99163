"""Training faces as a network is fed them, to be looked at before a run.

Nothing is imitated: order, changes and mixing come from what training uses, with the numbers of the run itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.fonts import printable
from mien.pack import Pack
from mien.recipe import Recipe
from mien.train.faces import LabelledFaces, read_training_faces
from mien.train.loading import FaceBatches
from mien.train.mixing import Mixing, mix_faces, plan_mixing
from mien.train.sampler import Draw, EpochBatches, FaceOrder, build_order, require_steps, step_keys

# Epochs that are gone through for a face that is rarely drawn, and steps for faces that are rarely mixed.
MOST_EPOCHS = 1000
MOST_STEPS = 1000
# Votes below this share are left out of a title.
SMALLEST_SHARE = 0.05
# A face that is less than this another one looks as if it were not mixed, and is left out.
SMALLEST_MIX = 0.005


@dataclass(frozen=True)
class PreviewFace:
    """A face to be shown.

    Attributes:
        image_rgb: ``(S, S, 3)`` uint8 RGB.
        landmarks: ``(68, 2)`` fractions of the picture, NaN where a point is missing or hidden.
        caption: what it is.
    """

    image_rgb: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    caption: str


@dataclass(frozen=True)
class PreviewRow:
    """Faces that belong together.

    Attributes:
        title: what they are.
        faces: to be shown.
    """

    title: str
    faces: list[PreviewFace]


def preview_faces(recipe: Recipe, pack: Pack, *, n_versions: int, seed: int = 0) -> list[PreviewRow]:
    """Return what a network is fed when it is trained on a pack by a recipe.

    A row for each class holds one face, as it is in the pack and then as the run shows it in epoch after epoch,
    before mixing. Where faces are mixed, a row of them for mixup and one for cutmix follow.

    Args:
        recipe: the recipe; its own packs are not looked at.
        pack: to learn from.
        n_versions: changed faces in a row. A row goes on beyond the recipe's last epoch.
        seed: of the choice of faces. What is done to them depends on the recipe's.

    Raises:
        ArtifactError: the pack has no train split, or is damaged.
        DatasetError: the pack does not suit the recipe.
    """
    split = read_training_faces([pack], recipe.data)
    faces, classes = split.train, split.classes
    order = build_order(faces.labels, len(classes), recipe)
    dataset = FaceBatches(faces, recipe.data.input_size, recipe.data.augment, recipe.runtime.seed)
    n_drawn = recipe.schedule.batch_size * require_steps(order, recipe.schedule.batch_size)
    random = np.random.default_rng(seed)
    chosen = {label: _choose(faces, label, random) for label in np.unique(faces.labels).tolist()}
    draws = _find_draws(order, list(chosen.values()), n_drawn=n_drawn, n_versions=n_versions)
    counts = np.bincount(faces.labels, minlength=len(classes))
    rows = []
    for label, name in enumerate(classes):
        title = f"{printable(name)}\n{counts[label]:,} {'face' if counts[label] == 1 else 'faces'}"
        if label not in chosen:
            rows.append(PreviewRow(title, []))
            continue
        face = chosen[label]
        versions = [_version(dataset, draw) for draw in draws[face]]
        stored = PreviewFace(faces.image(face), faces.landmarks[face], "in the pack")
        rows.append(PreviewRow(title + _describe_votes(faces, face, classes), [stored, *versions]))
    start = int(random.integers(2**31))
    return rows + _mixed_rows(recipe, dataset, order, classes, n_faces=n_versions + 1, start=start)


def _choose(faces: LabelledFaces, label: int, random: np.random.Generator) -> int:
    """Return a face of a class, one with landmarks where there is any."""
    members = np.flatnonzero(faces.labels == label)
    with_landmarks = members[np.isfinite(faces.landmarks[members]).any(axis=(1, 2))]
    return int(random.choice(with_landmarks if len(with_landmarks) else members))


def _find_draws(
    order: FaceOrder, wanted: Sequence[int], *, n_drawn: int, n_versions: int
) -> dict[int, list[Draw]]:
    """Return the first times that a run shows some faces."""
    draws: dict[int, list[Draw]] = {face: [] for face in wanted}
    for epoch in range(MOST_EPOCHS):
        shown = order.faces(epoch)[:n_drawn]
        for position in np.flatnonzero(np.isin(shown, wanted)).tolist():
            face = int(shown[position])
            if len(draws[face]) < n_versions:
                draws[face].append(Draw(epoch, position, face))
        if all(len(found) == n_versions for found in draws.values()):
            break
    return draws


def _version(dataset: FaceBatches, draw: Draw) -> PreviewFace:
    batch = dataset.__getitems__([draw])
    return PreviewFace(batch.images_rgb[0].numpy(), batch.landmarks[0].numpy(), f"epoch {draw.epoch + 1}")


def _describe_votes(faces: LabelledFaces, face: int, classes: tuple[str, ...]) -> str:
    """Return the shares that a face is learnt by, as lines; nothing where it has one label."""
    target = faces.targets[face]
    shares = [(float(target[label]), classes[label]) for label in np.argsort(-target, kind="stable")]
    if shares[0][0] > 1 - SMALLEST_SHARE:
        return ""
    return "".join(
        f"\n{100 * share:.0f} % {printable(name)}" for share, name in shares if share >= SMALLEST_SHARE
    )


def _mixed_rows(
    recipe: Recipe,
    dataset: FaceBatches,
    order: FaceOrder,
    classes: tuple[str, ...],
    *,
    n_faces: int,
    start: int,
) -> list[PreviewRow]:
    """Return mixed faces of the first epoch, as the run's first process makes them from a step on."""
    augment = recipe.data.augment
    shares = {"mixup": augment.mixup, "cutmix": augment.cutmix}
    found: dict[str, list[PreviewFace]] = {kind: [] for kind, share in shares.items() if share}
    if not found:
        return []
    world_size = recipe.runtime.devices * recipe.runtime.nodes
    batches = list(EpochBatches(order, recipe.schedule.batch_size, 0, world_size=world_size))
    for count in range(min(len(batches), MOST_STEPS)):
        step = (start + count) % len(batches)
        for kind, face in _mixed_faces(recipe, dataset, batches[step], step, classes):
            if len(found[kind]) < n_faces:
                found[kind].append(face)
        if all(len(faces) == n_faces for faces in found.values()):
            break
    return [PreviewRow(f"{kind}\n{100 * shares[kind]:g} % of faces", faces) for kind, faces in found.items()]


def _mixed_faces(
    recipe: Recipe, dataset: FaceBatches, draws: list[Draw], step: int, classes: tuple[str, ...]
) -> Iterator[tuple[str, PreviewFace]]:
    """Yield the faces of a step that are mixed with another one, and how: ``mixup`` or ``cutmix``."""
    augment = recipe.data.augment
    keys = step_keys(recipe.runtime.seed, step=step, rank=0)
    mixing = plan_mixing(len(draws), augment, np.random.default_rng(keys), side=recipe.data.input_size)
    is_mixed = (mixing.own_share <= 1 - SMALLEST_MIX) & (mixing.partners != np.arange(len(draws)))
    places = np.flatnonzero(is_mixed)
    if not len(places):
        return
    batch = mix_faces(dataset.__getitems__(draws), augment, np.random.default_rng(keys))
    labels = dataset.faces.labels[[draw.face for draw in draws]]
    for place in places.tolist():
        image = np.rint(batch.images_rgb[place].numpy()).astype(np.uint8)
        caption = _describe_shares(mixing, place, [classes[label] for label in labels])
        yield (
            "mixup" if mixing.blended[place] else "cutmix",
            PreviewFace(image, batch.landmarks[place].numpy(), caption),
        )


def _describe_shares(mixing: Mixing, place: int, names: list[str]) -> str:
    own = round(100 * float(mixing.own_share[place]))
    first, second = printable(names[place]), printable(names[mixing.partners[place]])
    return f"{own} % {first}\n{100 - own} % {second}"
