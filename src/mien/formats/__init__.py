"""The artifacts on disk: pack, run and model file."""
