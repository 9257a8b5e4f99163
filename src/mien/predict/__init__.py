"""Reading the faces of pictures with a model file: found, cut as the model was trained, read, and written down.

`command.run_predict` is the whole verb; `recognise.read_pictures` is its core for programs.
"""
