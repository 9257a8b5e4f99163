"""Reading faces with a model file: found, cut as the model was trained, read, followed from frame to frame, drawn.

`model.Model` is the whole of it for programs (`mien.load` gives one); `predict` and `serve` stand on the same parts.
"""
