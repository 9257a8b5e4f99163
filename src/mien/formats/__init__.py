"""Artifacts on disk: pack, run and model file."""
