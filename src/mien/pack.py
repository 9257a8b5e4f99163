"""Packs in Python programs: the public names of `mien.formats.pack`.

Example:
    >>> from pathlib import Path
    >>> from mien.pack import Pack
    >>> faces = Pack.open(Path("faces.pack")).split("train")  # doctest: +SKIP
    >>> faces.image(0).shape, faces.labels[0], faces.keys[0]  # doctest: +SKIP
    ((48, 48, 3), 1, 'happy/anna.jpg')
"""

from mien.formats.pack import Pack, PackInfo, PackSplit

__all__ = ["Pack", "PackInfo", "PackSplit"]
