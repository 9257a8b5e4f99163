"""Reading the faces of images, videos and cameras with a model file, and writing down what was read.

`command.run_predict` is the whole verb; programs use `mien.load`.
"""
