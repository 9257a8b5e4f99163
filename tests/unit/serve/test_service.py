"""Concurrent clients: their faces share model calls, none blocks the others, and limits and shutdown hold."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.formats.onnx_model import OnnxModel
from mien.serve.app import ServeApp
from mien.tasks import Values

MakeApp = Callable[..., ServeApp]
ROUTE = "/v1/predict"
N_CLIENTS = 8


def post(client: Any, png: bytes, query: str = "") -> Any:
    return client.post(ROUTE + query, files={"images": ("a.png", png)})


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("settings", "batches"),
    [
        pytest.param({"window_ms": 10_000, "batch_faces": N_CLIENTS}, [N_CLIENTS], id="one batch"),
        pytest.param({"window_ms": 10_000, "batch_faces": 4}, [4, 4], id="full batches do not wait"),
        pytest.param({"window_ms": 0, "batch_faces": 1}, [1] * N_CLIENTS, id="batching off"),
    ],
)
def test_clients_share_model_calls(
    *,
    settings: dict[str, float],
    batches: list[int],
    make_app: MakeApp,
    running: Any,
    model_path: Path,
    png: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faces of concurrent requests are predicted in one call, each request with its own options."""
    model, sizes = OnnxModel.load(model_path, threads=1), []
    run = model.run

    def run_and_record(images_rgb: NDArray[np.uint8]) -> Values:
        sizes.append(len(images_rgb))
        return run(images_rgb)

    monkeypatch.setattr(model, "run", run_and_record)

    async def send() -> list[Any]:
        async with running(make_app(app_model=model, **settings)) as client:
            tops = [1 + number % 2 for number in range(N_CLIENTS)]
            responses = await asyncio.gather(*(post(client, png, f"?top={top}") for top in tops))
            metrics = (await client.get("/metrics")).text
            assert f"mien_batch_faces_count {len(batches):.1f}" in metrics
            assert f"mien_faces_read_total {N_CLIENTS:.1f}" in metrics
            return [response.json()["results"][0]["rows"][0] for response in responses]

    rows = asyncio.run(send())
    assert sizes == batches
    assert [len(row["probabilities"]) for row in rows] == [1, 2] * (N_CLIENTS // 2)
    assert {row["expression"] for row in rows} == {"Happy"}


def test_a_failing_model_call_fails_only_its_requests(
    make_app: MakeApp, running: Any, model_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clients of a failed call get 500, and the next call succeeds."""
    model = OnnxModel.load(model_path, threads=1)
    run, n_calls = model.run, 0

    def fail_once(images_rgb: NDArray[np.uint8]) -> Values:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 1:
            raise RuntimeError("out of order")
        return run(images_rgb)

    monkeypatch.setattr(model, "run", fail_once)

    async def send() -> list[Any]:
        async with running(make_app(app_model=model)) as client:
            return [await post(client, png) for _ in range(2)]

    failed, fine = asyncio.run(send())
    assert (failed.status_code, fine.status_code) == (500, 200)
    assert failed.json()["error"]["code"] == "internal_server_error"
    assert "out of order" not in failed.text
    assert failed.headers["x-content-type-options"] == "nosniff"


def test_the_event_loop_is_not_blocked_by_a_slow_image(
    make_app: MakeApp, running: Any, blocking_detector: Any, png: bytes
) -> None:
    """Other requests are answered while an image is being processed."""

    async def send() -> tuple[int, int]:
        async with running(make_app(app_detector=blocking_detector)) as client:
            slow = asyncio.create_task(post(client, png))
            await wait_until(blocking_detector.is_running.is_set)
            health = await client.get("/healthz")
            assert not slow.done()
            assert "mien_requests_in_flight 1.0" in (await client.get("/metrics")).text
            blocking_detector.release.set()
            return health.status_code, (await slow).status_code

    assert asyncio.run(send()) == (200, 200)


def test_too_many_requests_in_flight_get_429(
    make_app: MakeApp, running: Any, blocking_detector: Any, png: bytes
) -> None:
    """One request beyond the limit gets 429 with Retry-After; once another finishes, there is room again."""

    async def send() -> Any:
        async with running(make_app(app_detector=blocking_detector, queue=1)) as client:
            first = asyncio.create_task(post(client, png))
            await wait_until(blocking_detector.is_running.is_set)
            rejected = await post(client, png)
            blocking_detector.release.set()
            return rejected, await first, await post(client, png)

    rejected, first, later = asyncio.run(send())
    assert (rejected.status_code, first.status_code, later.status_code) == (429, 200, 200)
    assert rejected.headers["retry-after"] == "1"
    assert rejected.json()["error"]["code"] == "too_many_requests"


def test_bodies_in_flight_share_a_memory_budget(
    make_app: MakeApp, running: Any, blocking_detector: Any, png: bytes
) -> None:
    """A body that would exceed the total gets 429; answered requests release their bytes."""

    async def send() -> list[int]:
        app = make_app(app_detector=blocking_detector, queue_bytes=len(png) + 300)
        async with running(app) as client:
            first = asyncio.create_task(post(client, png))
            await wait_until(blocking_detector.is_running.is_set)
            rejected = await post(client, png)
            blocking_detector.release.set()
            return [rejected.status_code, (await first).status_code, (await post(client, png)).status_code]

    assert asyncio.run(send()) == [429, 200, 200]


def test_slow_processing_is_504(make_app: MakeApp, running: Any, blocking_detector: Any, png: bytes) -> None:
    """The client gets a response, and its slot is free again."""

    async def send() -> list[int]:
        async with running(make_app(app_detector=blocking_detector, request_seconds=0.05, queue=1)) as client:
            statuses = [(await post(client, png)).status_code for _ in range(2)]
            blocking_detector.release.set()
            return statuses

    assert asyncio.run(send()) == [504, 504]


def test_draining_finishes_requests_in_flight(
    make_app: MakeApp, running: Any, blocking_detector: Any, png: bytes
) -> None:
    """After the stop signal, new work gets 503 and the server is not ready; requests in flight are finished."""

    async def send() -> Any:
        app = make_app(app_detector=blocking_detector)
        async with running(app) as client:
            assert (await client.get("/readyz")).status_code == 200
            first = asyncio.create_task(post(client, png))
            await wait_until(blocking_detector.is_running.is_set)
            app.drain()
            rejected, ready = await post(client, png), await client.get("/readyz")
            alive = await client.get("/healthz")
            assert app.n_in_flight == 1
            blocking_detector.release.set()
            return [response.status_code for response in (rejected, ready, alive, await first)]

    assert asyncio.run(send()) == [503, 503, 200, 200]


def test_draining_before_startup_is_no_error(make_app: Callable[..., ServeApp]) -> None:
    app = make_app()
    app.drain()
    assert app.n_in_flight == 0
