"""What can be chosen about a crop. Imports nothing heavy: the command line is built from it. See `mien.faces.crop`."""

from typing import Literal

CropMethod = Literal["aligned", "box", "whole"]
CROP_METHODS: tuple[CropMethod, ...] = ("aligned", "box", "whole")

DEFAULT_SIZE = 256
DEFAULT_MARGIN = 0.1
