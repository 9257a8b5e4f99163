"""A reader per raw set. Each yields rows cheaply and turns a row into a `FaceRecord`.

`record` says what every set is read as; `opening` chooses the reader; `lists` and `cells` read CSVs and
their cells for all of them. A reader never writes, and never loads an image file: that is `prepare`'s work.
"""
