"""The names of columns in lists of faces, and mien's own names for what they hold. Imports nothing heavy."""

from mien.datasets.list_options import BoxFormat

PATH, LABEL, SPLIT, LANDMARKS, VALENCE, AROUSAL = "path", "label", "split", "landmarks", "valence", "arousal"
# mien's names of the columns of a box: all four, or the first if one column holds all numbers.
BOX = ("box0", "box1", "box2", "box3")
# mien's names of the columns of landmarks, if each number has its own: x0, y0, x1, ...
POINTS = tuple(f"point{index}" for index in range(136))
# The field with the numbers of columns that are named like classes.
VOTES = "votes"

SPELLINGS: dict[str, tuple[str, ...]] = {
    PATH: (
        *("path", "image", "file", "filename", "subDirectory_filePath"),
        *(
            "file_name",
            "filepath",
            "file_path",
            "image_path",
            "imagepath",
            "img_path",
            "image_name",
            "image name",
        ),
        *("image_file", "img", "img_name", "imagename", "pth"),
    ),
    LABEL: (
        "label",
        "expression",
        "emotion",
        "class",
        "labels",
        "emotions",
        "class_name",
        "category",
        "categories",
    ),
    SPLIT: ("split",),
    LANDMARKS: ("facial_landmarks", "landmarks"),
    VALENCE: ("valence",),
    AROUSAL: ("arousal",),
}
BOX_COLUMNS: dict[tuple[str, ...], BoxFormat] = {
    ("face_x", "face_y", "face_width", "face_height"): "xywh",
    ("x", "y", "w", "h"): "xywh",
    ("x", "y", "width", "height"): "xywh",
    ("left", "top", "width", "height"): "xywh",
    ("bbox_x", "bbox_y", "bbox_w", "bbox_h"): "xywh",
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"): "xywh",
    ("x0", "y0", "x1", "y1"): "xyxy",
    ("x1", "y1", "x2", "y2"): "xyxy",
    ("xmin", "ymin", "xmax", "ymax"): "xyxy",
    ("x_min", "y_min", "x_max", "y_max"): "xyxy",
    ("left", "top", "right", "bottom"): "xyxy",
    ("xtl", "ytl", "xbr", "ybr"): "xyxy",
    ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"): "xyxy",
    ("face_x1", "face_y1", "face_x2", "face_y2"): "xyxy",
    ("cx", "cy", "w", "h"): "cxcywh",
    ("x_center", "y_center", "width", "height"): "cxcywh",
    ("center_x", "center_y", "width", "height"): "cxcywh",
}
