"""The pack: cropped faces with their labels in Arrow files, written by `prepare`, read by every later stage.

A folder of

- ``<split>-<number>.arrow``: shards, one row a face (`mien.formats.pack.schema`);
- ``groups.arrow``: the near-duplicate group of every face, in the order of splits and shards;
- ``rejects.csv``: the rows that did not become a face, and why;
- ``pack.json``: what the pack is; written last, so that its presence means that the pack is whole.
"""

from mien.formats.pack.reader import Pack, PackSplit
from mien.formats.pack.schema import FORMAT_VERSION, PackedFace, PackInfo

__all__ = ["FORMAT_VERSION", "Pack", "PackInfo", "PackSplit", "PackedFace"]
