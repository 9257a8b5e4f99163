"""The splits: what sets call them, and the split of a face in a set that has none."""

import hashlib

_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def split_named(word: str) -> str | None:
    """Return the split that a word means, or None.

    Example:
        >>> split_named("Validation"), split_named("happy")
        ('val', None)
    """
    return _WORDS.get(word.strip().lower())


def drawn_split(key: str, val_fraction: float) -> str:
    """Return ``val`` for about `val_fraction` of all keys and ``train`` for the others, always the same.

    It depends on the key alone, so that a set that grows keeps the split of the faces it had.
    """
    digest = hashlib.sha256(key.encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") < val_fraction * 2**64 else "train"


def require_val_fraction(val_fraction: float) -> None:
    """Check a share of faces that goes to ``val``.

    Raises:
        ValueError: it is not in [0, 1).
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f"`val_fraction` must be in [0, 1), got {val_fraction!r}")
