"""Landmarks that a model placed, as they are stated of packs, runs and model files."""

from collections.abc import Mapping


def list_placed(counts: Mapping[str, object]) -> str:
    """Return the models that placed landmarks, and the number of faces of each.

    Example:
        >>> list_placed({"ferplus-resnet10-int8 (d102666e4532)": 1200})
        '1,200 faces by ferplus-resnet10-int8 (d102666e4532)'
    """
    return ", ".join(
        f"{count:,} faces by {name}" if isinstance(count, int) else f"by {name}"
        for name, count in counts.items()
    )
