"""The raw datasets that `prepare` reads. Each lists its rows quickly and parses a row into a `FaceRecord`.

`registry` is the table of all of them, `base` their interface; `csv_files`, `csv_cells`, `files`, `labels` and `splits`
are shared. Nothing here writes, or decodes an image: that is the work of `prepare`.
"""
