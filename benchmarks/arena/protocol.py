"""The adapter's side of the arena's protocol, for peers in Python. Needs only the standard library.

An adapter is a process. Its first line on standard output describes the peer; after that, every line on standard input
is a JSON object ``{"image": PATH, "cropped": BOOL}``, and is answered by one line::

    {"faces": [{"box_xyxy": [x0, y0, x1, y1], "probabilities": {NAME: P, ...}}, ...], "seconds": S}

Images are binary PPM (P6) files of 8-bit RGB, so that every peer sees the same pixels. ``seconds`` is the time from
pixels in memory to the answer. `protocol.mjs` is the same for Node.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

Image = TypeVar("Image")


def serve(
    description: dict[str, Any],
    read: Callable[[str], Image],
    predict: Callable[[Image, bool], list[dict[str, Any]]],
) -> None:
    """Answer requests until standard input ends.

    Args:
        description: ``name``, ``version``, ``detector``, ``weights`` (paths of the files that are loaded) and
            ``install_bytes``.
        read: decodes an image file; not timed.
        predict: returns the faces of an image, or of a cropped face if the second argument is true; timed.
    """
    # What libraries print must not end up among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    print(json.dumps(description), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        image = read(request["image"])
        start = time.perf_counter()
        faces = predict(image, request["cropped"])
        seconds = time.perf_counter() - start
        print(json.dumps({"faces": faces, "seconds": seconds}), file=answers)


def installed_bytes(distribution: str) -> int:
    """Return the size of an installed distribution and of everything installed that it requires, without its extras."""
    waiting, seen, total = [distribution], set(), 0
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        paths = (Path(file.locate()) for file in found.files or ())
        total += sum(path.stat().st_size for path in paths if path.is_file())
        waiting += [
            re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            for requirement in found.requires or ()
            if "extra ==" not in requirement
        ]
    return total
