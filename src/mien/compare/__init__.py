"""`mien compare`: reports side by side, and whether their models really differ on the same faces."""

from mien.compare.grouped import compare_groups
from mien.compare.grouped_summary import GroupedSummary
from mien.compare.stage import compare
from mien.compare.summary import ComparisonSummary

__all__ = ["ComparisonSummary", "GroupedSummary", "compare", "compare_groups"]
