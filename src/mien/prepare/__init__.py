"""`mien prepare`: turns a raw data set into a pack."""

from mien.prepare.stage import PrepareOptions, prepare

__all__ = ["PrepareOptions", "prepare"]
