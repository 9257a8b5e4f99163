"""`mien predict`: the faces of images, videos and cameras, written to files, drawings and the terminal.

`stage.run_predict` is the complete command; programs use `mien.load`.
"""
