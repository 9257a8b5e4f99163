"""Several training runs: seeds, sweeps, cross-validation, and their summaries."""
