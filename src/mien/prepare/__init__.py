"""`mien prepare`: a raw set becomes a pack."""

from mien.prepare.stage import PrepareOptions, prepare

__all__ = ["PrepareOptions", "prepare"]
