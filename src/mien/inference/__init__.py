"""Inference: faces detected, cropped as in training, run through the model, tracked from frame to frame.

`model.Model` is the interface for programs (`mien.load` returns one); `predict` and `serve` are built on the same parts.
"""
