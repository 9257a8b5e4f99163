"""The whole way of one photograph in Node, from pixels to answers: mien's npm package and `@vladmandic/human`, on one thread.

    python benchmarks/arena/photo.py --envs ENVS [--photo PHOTO.jpg] [--rounds 40] [--model MODEL.onnx] [--min-face-px N ...]

The README in this folder says how to set up the environments `mien-npm` and `human` in ENVS. The photograph is enlarged or reduced to
640x480 (default: one with a drawn face). All answer it in turn, so that the times are of the same minutes; the ratios are medians over
the rounds, of the time and of the CPU time, which other work on the machine distorts less. mien finds faces of any size at any roll,
predicts expressions and 68 landmarks, also with each N as its option `minFacePx`; `human` predicts expressions, with its face mesh or
without, and its detector sees 256x256 pixels: `small_faces.py` says which faces each finds. Needs Linux.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
from run import Peer, require_detector, start_peer

import mien

ROOT = Path(__file__).parents[2]
SIZE_WH = (640, 480)
WARM_UP_ROUNDS = 10


def cpu_seconds(peer: Peer) -> float:
    """Return the CPU time of an adapter's process so far, all its threads together."""
    tasks = Path(f"/proc/{peer.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def mien_files(model: str | None = None) -> list[str]:
    """Return the paths of mien's model file and of its detector."""
    return [str(mien.load(model).onnx_model.path), str(require_detector())]


def start_node_peers(
    envs: Path, files: Sequence[str], least_px: Sequence[int], runtime: str
) -> dict[str, Peer]:
    """Start mien's package in a runtime, also with each least size of faces, and `human`; each on one thread."""
    sizes = {f"mien, minFacePx {least}": [str(least)] for least in least_px}
    return {
        name: start_peer("mien-npm", envs, [*files, runtime, *more])
        for name, more in {"mien": [], **sizes}.items()
    } | {"human": start_peer("human", envs)}


def main() -> None:
    """Run the comparison and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--envs", type=Path, required=True, metavar="DIR", help="the peers' environments")
    parser.add_argument("--photo", type=Path, default=ROOT / "src" / "mien" / "bench" / "image.jpg")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--model", help="mien's model (default: its default model)")
    parser.add_argument("--min-face-px", type=int, nargs="*", default=[60, 100], metavar="N")
    args = parser.parse_args()
    files = mien_files(args.model)
    peers = start_node_peers(args.envs, files, args.min_face_px, "onnxruntime-web") | {
        "human without face mesh": start_peer("human", args.envs, ["no-mesh"]),
        "mien, native": start_peer("mien-npm", args.envs, [*files, "onnxruntime-node"]),
    }
    names = list(peers)
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    n_faces = dict.fromkeys(names, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.ppm"
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(args.photo)), SIZE_WH))
        for number in range(WARM_UP_ROUNDS + args.rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                before = cpu_seconds(peers[name])
                answer = peers[name].ask(path, cropped=False)
                n_faces[name] = len(answer["faces"])
                if number >= WARM_UP_ROUNDS:
                    wall[name].append(1000 * answer["seconds"])
                    cpu[name].append(1000 * (cpu_seconds(peers[name]) - before))
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {args.rounds} rounds; {Path(files[0]).name}"
    )
    for name, peer in peers.items():
        ratios = [
            statistics.median(a / b for a, b in zip(one[name], one[names[0]], strict=True))
            for one in (wall, cpu)
        ]
        print(
            f"{name} ({peer.description['version']}): {n_faces[name]} face(s), {statistics.median(wall[name]):.1f} ms, "
            f"{statistics.median(cpu[name]):.1f} ms of CPU; relative to the first: {ratios[0]:.2f}, CPU {ratios[1]:.2f}"
        )
        if peer.process.stdin is not None:
            peer.process.stdin.close()
        peer.process.wait()


if __name__ == "__main__":
    main()
