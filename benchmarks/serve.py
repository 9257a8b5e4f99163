"""`mien serve` with several clients, relative to calling the model in a loop in one process, with and without batching.

    python benchmarks/serve.py [--photo PHOTO.jpg ...] [--model MODEL] [--seconds 5] [--rounds 3]

Prints requests per second with their ratio to the loop, and latencies, from alternating rounds. The clients run on the same machine, so
that their cost and that of HTTP are included in the server's rate. The CPU time per image is printed as well, because it hardly depends on
what else the machine does.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mien
from mien.inference.model import Model

PHOTO = Path(__file__).parents[1] / "page" / "public" / "example.jpg"
CLIENTS = (1, 8, 32)
SERVERS = {"batching": (), "batching off": ("--window-ms", "0", "--batch-faces", "1")}


def rate_of_loop(model: Model, photos: list[bytes], seconds: float) -> tuple[float, float]:
    """Return images per second, one after the other in this process, and CPU seconds per image."""
    start, start_cpu, n = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        model.predict(photos[n % len(photos)])
        n += 1
    return n / (time.perf_counter() - start), (time.process_time() - start_cpu) / n


def processor_seconds(process_id: int) -> float:
    """Return the CPU seconds that a process has used, NaN without /proc."""
    stat = Path(f"/proc/{process_id}/stat")
    if not stat.exists():
        return float("nan")
    user, system = stat.read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(model: str | None, options: tuple[str, ...] = ()) -> Iterator[tuple[int, int]]:
    """Run a server; yield its port and process ID."""
    words = [
        sys.executable,
        "-m",
        "mien",
        "serve",
        "--port",
        "0",
        *(("--model", model) if model else ()),
        *options,
    ]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            if found:
                break
        else:
            raise SystemExit("the server did not start")
        try:
            yield int(found[1]), process.pid
        finally:
            process.terminate()


async def ask(port: int, photos: list[bytes], seconds: float) -> list[float]:
    """Send requests over one connection until the time is up; return the latency of each in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end, times = time.perf_counter() + seconds, []
    while time.perf_counter() < end:
        photo = photos[len(times) % len(photos)]
        start = time.perf_counter()
        writer.write(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b"
            % (len(photo), photo)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the server answered {head!r}")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        times.append(time.perf_counter() - start)
    writer.close()
    return times


async def ask_at_once(
    port: int, photos: list[bytes], n_clients: int, seconds: float
) -> tuple[float, list[float]]:
    """Return the requests per second of all clients together, and the latency of each request in seconds."""
    start = time.perf_counter()
    parts = await asyncio.gather(*(ask(port, photos, seconds) for _ in range(n_clients)))
    times = [one for part in parts for one in part]
    return len(times) / (time.perf_counter() - start), times


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, nargs="+", default=[PHOTO])
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    photos = [path.read_bytes() for path in args.photo]
    model = mien.load(args.model)
    model.predict(photos[0])
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; {len(photos)} photographs")
    loop, rates, times, costs = [], defaultdict(list), defaultdict(list), defaultdict(list)
    for _ in range(args.rounds):
        rate, cost = rate_of_loop(model, photos, args.seconds)
        loop.append(rate)
        costs["loop"].append(cost)
        for name, options in SERVERS.items():
            with serving(args.model, options) as (port, process_id):
                asyncio.run(ask_at_once(port, photos, 2, 1.0))
                for n_clients in CLIENTS:
                    before = processor_seconds(process_id)
                    rate, seconds = asyncio.run(ask_at_once(port, photos, n_clients, args.seconds))
                    rates[name, n_clients].append(rate / loop[-1])
                    costs[name, n_clients].append((processor_seconds(process_id) - before) / len(seconds))
                    times[name, n_clients] += seconds
    base = statistics.median(loop)
    cost = statistics.median(costs["loop"]) * 1000
    print(f"loop in one process: {base:.1f} images/s (median of {args.rounds}), {cost:.1f} ms of CPU time")
    for (name, n_clients), ratios in rates.items():
        marks = statistics.quantiles(times[name, n_clients], n=100)
        shown = ", ".join(f"p{p} {marks[p - 1] * 1000:.0f} ms" for p in (50, 95, 99))
        ratio, cost = statistics.median(ratios), statistics.median(costs[name, n_clients]) * 1000
        print(
            f"{name}, {n_clients} clients: {ratio * base:.1f} requests/s, {ratio:.2f} of the loop; "
            f"{cost:.1f} ms of CPU time; {shown}"
        )


if __name__ == "__main__":
    main()
