"""The pack: cropped faces with their labels in Arrow files, written by `prepare`, read by every later stage.

A folder of

- ``<split>-<number>.arrow``: shards, one row per face (`mien.formats.pack.schema`);
- ``groups.arrow``: the near-duplicate group of every face, in the order of splits and shards;
- ``rejects.csv``: the source rows that were rejected, and why;
- ``pack.json``: metadata; written last, so its presence means that the pack is complete.
"""

from mien.formats.pack.reader import Pack, PackSplit
from mien.formats.pack.schema import FORMAT_VERSION, PackedFace, PackInfo

__all__ = ["FORMAT_VERSION", "Pack", "PackInfo", "PackSplit", "PackedFace"]
