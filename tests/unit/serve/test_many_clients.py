"""Several clients at once: their faces share calls of the model, and none holds the others up."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.formats.onnx_model import OnnxModel, Outputs
from mien.serve.app import ServeApp

MakeApp = Callable[..., ServeApp]
ROUTE = "/v1/predict"
N_CLIENTS = 8


def post(client: Any, png: bytes, query: str = "") -> Any:
    return client.post(ROUTE + query, files={"images": ("a.png", png)})


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("settings", "batches"),
    [
        pytest.param({"window_ms": 10_000, "batch_faces": N_CLIENTS}, [N_CLIENTS], id="all in one"),
        pytest.param({"window_ms": 10_000, "batch_faces": 4}, [4, 4], id="a full batch does not wait"),
        pytest.param({"window_ms": 0, "batch_faces": 1}, [1] * N_CLIENTS, id="off"),
    ],
)
def test_clients_share_calls_of_the_model(
    *,
    settings: dict[str, float],
    batches: list[int],
    make_app: MakeApp,
    running: Any,
    model_path: Path,
    png: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faces of requests that come together are read in one call, each by its own rule."""
    bundle, sizes = OnnxModel.load(model_path, threads=1), []
    run = bundle.run

    def run_and_note(images_rgb: NDArray[np.uint8]) -> Outputs:
        sizes.append(len(images_rgb))
        return run(images_rgb)

    monkeypatch.setattr(bundle, "run", run_and_note)

    async def ask() -> list[Any]:
        async with running(make_app(model=bundle, **settings)) as client:
            tops = [1 + number % 2 for number in range(N_CLIENTS)]
            answers = await asyncio.gather(*(post(client, png, f"?top={top}") for top in tops))
            figures = (await client.get("/metrics")).text
            assert f"mien_batch_faces_count {len(batches):.1f}" in figures
            assert f"mien_faces_read_total {N_CLIENTS:.1f}" in figures
            return [answer.json()["results"][0]["rows"][0] for answer in answers]

    rows = asyncio.run(ask())
    assert sizes == batches
    assert [len(row["probabilities"]) for row in rows] == [1, 2] * (N_CLIENTS // 2)
    assert {row["expression"] for row in rows} == {"Happy"}


def test_a_failing_model_fails_those_who_asked(
    make_app: MakeApp, running: Any, model_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that fails is 500 for its clients, and the next one is answered."""
    bundle = OnnxModel.load(model_path, threads=1)
    run, n_calls = bundle.run, 0

    def fail_once(images_rgb: NDArray[np.uint8]) -> Outputs:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 1:
            raise RuntimeError("out of order")
        return run(images_rgb)

    monkeypatch.setattr(bundle, "run", fail_once)

    async def ask() -> list[Any]:
        async with running(make_app(model=bundle)) as client:
            return [await post(client, png) for _ in range(2)]

    failed, fine = asyncio.run(ask())
    assert (failed.status_code, fine.status_code) == (500, 200)
    assert failed.json()["error"]["code"] == "server_error"
    assert "out of order" not in failed.text
    assert failed.headers["x-content-type-options"] == "nosniff"


def test_the_loop_answers_while_a_image_is_worked_at(
    make_app: MakeApp, running: Any, held_detector: Any, png: bytes
) -> None:
    """An image that takes long keeps nobody else waiting."""

    async def ask() -> tuple[int, int]:
        async with running(make_app(finder=held_detector)) as client:
            slow = asyncio.create_task(post(client, png))
            await until(held_detector.is_at_it.is_set)
            health = await client.get("/healthz")
            assert not slow.done()
            assert "mien_queue_length 1.0" in (await client.get("/metrics")).text
            held_detector.release.set()
            return health.status_code, (await slow).status_code

    assert asyncio.run(ask()) == (200, 200)


def test_a_full_queue_refuses(make_app: MakeApp, running: Any, held_detector: Any, png: bytes) -> None:
    """One request more than the queue holds is 429 and told when to come again; then there is room."""

    async def ask() -> Any:
        async with running(make_app(finder=held_detector, queue=1)) as client:
            first = asyncio.create_task(post(client, png))
            await until(held_detector.is_at_it.is_set)
            refused = await post(client, png)
            held_detector.release.set()
            return refused, await first, await post(client, png)

    refused, first, later = asyncio.run(ask())
    assert (refused.status_code, first.status_code, later.status_code) == (429, 200, 200)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "busy"


def test_bodies_in_hand_are_bounded_together(
    make_app: MakeApp, running: Any, held_detector: Any, png: bytes
) -> None:
    """Bodies that would pass the bytes of all are 429; those that are answered give theirs back."""

    async def ask() -> list[int]:
        app = make_app(finder=held_detector, queue_bytes=len(png) + 300)
        async with running(app) as client:
            first = asyncio.create_task(post(client, png))
            await until(held_detector.is_at_it.is_set)
            refused = await post(client, png)
            held_detector.release.set()
            return [refused.status_code, (await first).status_code, (await post(client, png)).status_code]

    assert asyncio.run(ask()) == [429, 200, 200]


def test_an_answer_that_takes_too_long_is_504(
    make_app: MakeApp, running: Any, held_detector: Any, png: bytes
) -> None:
    """A client is not kept for ever, and its place in the queue is free again."""

    async def ask() -> list[int]:
        async with running(make_app(finder=held_detector, request_seconds=0.05, queue=1)) as client:
            statuses = [(await post(client, png)).status_code for _ in range(2)]
            held_detector.release.set()
            return statuses

    assert asyncio.run(ask()) == [504, 504]


def test_a_stop_finishes_what_was_accepted(
    make_app: MakeApp, running: Any, held_detector: Any, png: bytes
) -> None:
    """From the signal on new work is 503 and the server is not ready; what is in hand is answered."""

    async def ask() -> Any:
        app = make_app(finder=held_detector)
        async with running(app) as client:
            assert (await client.get("/readyz")).status_code == 200
            first = asyncio.create_task(post(client, png))
            await until(held_detector.is_at_it.is_set)
            app.drain()
            refused, ready = await post(client, png), await client.get("/readyz")
            alive = await client.get("/healthz")
            assert app.n_in_flight == 1
            held_detector.release.set()
            return [answer.status_code for answer in (refused, ready, alive, await first)]

    assert asyncio.run(ask()) == [503, 503, 200, 200]


def test_a_signal_before_the_start_is_no_error(make_app: Callable[..., ServeApp]) -> None:
    app = make_app()
    app.drain()
    assert app.n_in_flight == 0
