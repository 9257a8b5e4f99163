"""Renamed recipe keys: runs trained earlier are read under today's names."""

from mien.formats.recipe_keys import RENAMED_KEYS, rename_keys


def test_old_keys_get_their_new_names() -> None:
    """Names change at every depth, values do not, and today's keys are left as they are."""
    stored = {
        "model": {"backbone": "resnet18", "grey": True, "hidden_size": 8},  # not our word
        "schedule": {"clip_gradient": 5.0, "loss": {"smoothing_to": "rare", "landmarks": "wing"}},
        "data": {"augment": {"flip": 0.5, "mixup_alpha": 0.2}},
    }
    renamed = {
        "model": {"backbone": "resnet18", "grayscale": True, "head_hidden_size": 8},
        "schedule": {
            "grad_clip_norm": 5.0,
            "loss": {"smoothing_distribution": "inverse", "landmarks": "wing"},
        },
        "data": {"augment": {"hflip_prob": 0.5, "mixup_alpha": 0.2}},
    }
    assert rename_keys(stored) == renamed
    assert rename_keys(renamed) == renamed


def test_a_key_keeps_its_part() -> None:
    """Only the last word of a key changes, and no new name is an old one."""
    for old, new in RENAMED_KEYS.items():
        assert old.rpartition(".")[0] == new.rpartition(".")[0]
        assert new not in RENAMED_KEYS


def test_parts_of_a_damaged_run() -> None:
    """Values that are no mapping are passed on for others to refuse."""
    assert rename_keys({"model": None, "data": [1]}) == {"model": None, "data": [1]}
