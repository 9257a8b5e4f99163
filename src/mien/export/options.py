"""The options of `mien export`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path

from mien.runtime.options import option


@dataclass(frozen=True, slots=True)
class Int8Options:
    """How an int8 file is made.

    Attributes:
        packs: every pack of the run; their training faces calibrate the file, and the dev split checks it.
        float_layers: layers, or prefixes of their names that end before a dot, that stay in float besides the heads.
    """

    packs: tuple[Path, ...] = option(
        (), "the run's pack, for --int8; repeat for several packs", flag="--calibrate", metavar="PACK"
    )
    float_layers: tuple[str, ...] = option((), "layers that --int8 keeps in float", metavar="NAME", nargs="+")
