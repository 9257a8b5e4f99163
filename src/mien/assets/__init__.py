"""What the package carries: bundled models with their cards, and recipes."""

DEFAULT_MODEL = "mien-base"
