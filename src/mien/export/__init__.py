"""`mien export`: a run becomes one model file."""

from mien.export.stage import export

__all__ = ["export"]
