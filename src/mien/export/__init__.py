"""`mien export`: write a run's selected network as one model file."""

from mien.export.int8 import Int8Options
from mien.export.stage import export

__all__ = ["Int8Options", "export"]
