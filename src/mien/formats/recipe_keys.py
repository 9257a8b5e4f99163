"""Recipe keys that have been renamed: the names in runs trained earlier, and those used today.

Recipe files and the command line accept today's names only; stored runs are read under either.
"""

from typing import Any

# Old key -> new key. A key keeps its part: only its last word changes.
RENAMED_KEYS = {
    "model.grey": "model.grayscale",  # not our word
    "model.feed_landmarks": "model.condition_on_landmarks",
    "model.hidden_size": "model.head_hidden_size",
    "data.sampling_cap": "data.sampling_max_repeats",
    "data.augment.flip": "data.augment.hflip_prob",
    "data.augment.affine": "data.augment.affine_prob",
    "data.augment.erase": "data.augment.erase_prob",
    "data.augment.erase_area": "data.augment.erase_max_area",
    "data.augment.mixup": "data.augment.mixup_prob",
    "data.augment.cutmix": "data.augment.cutmix_prob",
    "schedule.head_epochs": "schedule.freeze_backbone_epochs",
    "schedule.head_learning_rate": "schedule.freeze_backbone_learning_rate",
    "schedule.warmup_start": "schedule.warmup_lr_ratio",
    "schedule.final_rate": "schedule.min_lr_ratio",
    "schedule.clip_gradient": "schedule.grad_clip_norm",
    "schedule.loss.smoothing_to": "schedule.loss.smoothing_distribution",
}
# New key -> old value -> new value.
_RENAMED_VALUES = {"schedule.loss.smoothing_distribution": {"all": "uniform", "rare": "inverse"}}


def rename_keys(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe stored in a run with today's keys."""

    def rename(part: dict[str, Any], prefix: str) -> dict[str, Any]:
        renamed = {}
        for name, value in part.items():
            key = RENAMED_KEYS.get(prefix + name, prefix + name)
            if isinstance(value, dict):
                value = rename(value, f"{key}.")  # noqa: PLW2901
            elif isinstance(value, str) and key != prefix + name:
                value = _RENAMED_VALUES.get(key, {}).get(value, value)  # noqa: PLW2901
            renamed[key.rpartition(".")[2]] = value
        return renamed

    return rename(recipe, "")
