"""`mien compare`: reports side by side, and whether their models really differ on the same faces."""

from mien.compare.stage import compare
from mien.compare.summary import ComparisonSummary

__all__ = ["ComparisonSummary", "compare"]
