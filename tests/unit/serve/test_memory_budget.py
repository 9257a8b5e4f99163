"""Threads and queue that fit the memory."""

import pytest

from mien.serve.memory_budget import fit_to_memory
from mien.serve.settings import ServeSettings

MIB = 1024**2


@pytest.mark.parametrize(
    ("memory_mib", "pixels", "threads", "queue_mib"),
    [
        pytest.param(None, 25_000_000, 8, 256, id="unknown"),
        pytest.param(16_384, 25_000_000, 8, 256, id="a whole machine"),
        pytest.param(2_048, 25_000_000, 3, 256, id="2 GiB: three images of 500 MB"),
        pytest.param(512, 4_000_000, 3, 64, id="512 MiB: three images of 80 MB"),
        pytest.param(512, 25_000_000, 1, 64, id="too little for one image"),
    ],
)
def test_automatic_values(
    memory_mib: int | None, pixels: int, threads: int, queue_mib: int, caplog: pytest.LogCaptureFixture
) -> None:
    """As many threads as cores, unless their images would not fit; at least one."""
    settings = ServeSettings(image_pixels=pixels)
    fitted = fit_to_memory(settings, 8, None if memory_mib is None else memory_mib * MIB)
    assert (fitted.threads, fitted.queue_bytes) == (threads, queue_mib * MIB)
    is_tight = memory_mib == 512 and pixels == 25_000_000
    assert ("lower `--image-pixels` to 13,0" in caplog.text) == is_tight


def test_what_was_asked_for_stays_and_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    """The person who runs the server knows its images."""
    fitted = fit_to_memory(ServeSettings(threads=4, queue_bytes=1000), 8, 1024 * MIB)
    assert (fitted.threads, fitted.queue_bytes) == (4, 1000)
    assert "4 images of 25,000,000 pixels at once may take 2,000 MB" in caplog.text
    assert "or use fewer `--threads`" in caplog.text
