"""Which small faces mien's npm package and `@vladmandic/human` find in images of 640x480 pixels, in Node.

    python benchmarks/arena/small_faces.py RAW --envs ENVS [--min-face-px N ...] [--images 96]

The same faces and the same rule as in `benchmarks/quality.py small`: photographs in AffectNet's layout, scaled until the shorter side
of the face's box has a width, on gray, alone or next to a face of 220 pixels. mien also with each N as its option `minFacePx`, which
leaves out smaller faces. Prints a Markdown table with Wilson's intervals.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from photo import mien_files, start_node_peers

sys.path.insert(0, str(Path(__file__).parents[1]))
from quality import CANVAS_WH, FacePaster, gray_image, is_found, rate

WIDTHS = (20, 30, 40, 60, 100)
LARGE_WIDTH = 220


def main() -> None:
    """Put each face on an image, and ask everybody for it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("raw", type=Path, metavar="RAW", help="a set of photographs in AffectNet's layout")
    parser.add_argument("--envs", type=Path, required=True, metavar="DIR", help="the peers' environments")
    parser.add_argument("--min-face-px", type=int, nargs="*", default=[60, 100], metavar="N")
    parser.add_argument("--images", type=int, default=96, help="of each row")
    args = parser.parse_args()
    paster = FacePaster(args.raw)
    # Native code finds what WebAssembly finds, in less time.
    peers = start_node_peers(args.envs, mien_files(), args.min_face_px, "onnxruntime-node")
    print(f"| faces, n = {args.images} | width, px | {' | '.join(peers)} |\n|---|---|{'---|' * len(peers)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.ppm"
        for has_large in (True, False):
            for width in WIDTHS:
                n_found = dict.fromkeys(peers, 0)
                for number in range(args.images):
                    image = gray_image(CANVAS_WH)
                    if has_large:
                        paster.put(image, 2 * number, LARGE_WIDTH, (CANVAS_WH[0] // 3, CANVAS_WH[1] // 2))
                    center_xy = (CANVAS_WH[0] * 5 // 6, CANVAS_WH[1] // 2)
                    box = paster.put(image, 2 * number + 1, width, center_xy)
                    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                    for name, peer in peers.items():
                        faces = peer.ask(path, cropped=False)["faces"]
                        n_found[name] += sum(is_found([np.array(face["box_xyxy"]) for face in faces], [box]))
                place = f"one next to a face of {LARGE_WIDTH}" if has_large else "one alone"
                cells = [rate(count, args.images) for count in n_found.values()]
                print(f"| {place} | {width} | {' | '.join(cells)} |", flush=True)
    for peer in peers.values():
        if peer.process.stdin is not None:
            peer.process.stdin.close()
        peer.process.wait()


if __name__ == "__main__":
    main()
