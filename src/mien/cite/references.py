"""Which entries of ``references.bib`` stand for a dataset, a backbone or a method of a recipe."""

import re
from importlib import resources
from typing import Any

# By the name of the set, or the beginning of it up to a hyphen. The longest one counts.
DATA = {
    "affectnet": ("affectnet",),
    "affectnet-plus": ("affectnet", "affectnet_plus"),
    "ferplus": ("ferplus", "fer2013"),
    "fer2013": ("fer2013",),
    "rafdb": ("rafdb",),
    "expw": ("expw",),
    "ckplus": ("ckplus",),
    "kdef": ("kdef",),
    "jaffe": ("jaffe",),
    "fairface": ("fairface",),
    "caer-s": ("caer",),
    "afew-va": ("afew_va",),
    "aff-wild2": ("aff_wild2",),
    "lfw": ("lfw",),
}
# Sets that nobody has described in a paper, as far as known.
UNPUBLISHED = ("mmafedb", "nhfi")

# By the beginning of timm's name.
BACKBONES = {
    "resnet": "resnet", "mien_resnet": "resnet", "efficientnet": "efficientnet", "tf_efficientnet": "efficientnet", "mobilenetv3": "mobilenetv3",
    "tf_mobilenetv3": "mobilenetv3", "convnext": "convnext", "vit": "vit",
}  # fmt: skip

# Dotted recipe key -> values that mean nothing is cited -> entry.
METHODS: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("schedule.optimizer", ("sgd",), "adamw"),
    ("schedule.sam_rho", (None,), "sam"),
    ("data.sampling", ("uniform", "inverse", "square_root"), "effective_number"),
    ("schedule.loss.class_weights", ("none", "inverse", "square_root"), "effective_number"),
    ("schedule.loss.logit_adjustment", (0,), "logit_adjustment"),
    ("schedule.loss.label_smoothing", (0,), "label_smoothing"),
    ("schedule.loss.smoothing_distribution", ("uniform",), "rebalanced_smoothing"),
    ("data.augment.mixup_prob", (0,), "mixup"),
    ("data.augment.cutmix_prob", (0,), "cutmix"),
    ("data.augment.erase_prob", (0,), "random_erasing"),
    ("schedule.loss.teacher", (None,), "distillation"),
    ("schedule.loss.task_weights", ("fixed",), "task_weights"),
    ("schedule.loss.landmarks", ("smooth_l1", "mse"), "wing_loss"),
)
# The calibration of every export, the backbones' library, and the detector.
ALWAYS_METHODS, ALWAYS_SOFTWARE = ("calibration",), ("timm", "yunet")


def read_references() -> dict[str, str]:
    """Return the BibTeX entries by key."""
    text = resources.files("mien.cite").joinpath("references.bib").read_text("utf-8")
    entries = re.split(r"\n\n(?=@)", text.strip())
    return {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in entries}


def find_data(name: str) -> tuple[str, ...] | None:
    """Return the entries of a dataset by its name in a pack, or None if none are known.

    Example:
        >>> find_data("affectnet-2017-both"), find_data("ferplus"), find_data("my_faces")
        (('affectnet',), ('ferplus', 'fer2013'), None)
    """
    kinds = [kind for kind in DATA if name == kind or name.startswith(f"{kind}-")]
    return DATA[max(kinds, key=len)] if kinds else None
