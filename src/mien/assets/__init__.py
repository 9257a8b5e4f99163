"""What the package carries: bundled models with their cards, and recipes."""

from pathlib import Path

DEFAULT_MODEL = "mien-base"
RECIPES = Path(__file__).parent / "recipes"
