"""What the package carries: bundled models with their cards, and recipes."""
