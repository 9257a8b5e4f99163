"""`mien bench`: time per face on this machine, step by step."""

from mien.bench.stage import BenchOptions, bench

__all__ = ["BenchOptions", "bench"]
