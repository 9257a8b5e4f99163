"""The preview window, with a fake screen."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from mien.inference.results import FacePrediction, ImagePrediction
from mien.predict.preview_window import CLOSING_KEYS, SCREEN_FRACTION, PreviewWindow

tkinter = pytest.importorskip("tkinter")


class Root:
    """A screen of 400 x 300 pixels without user input."""

    winfo_screenwidth = staticmethod(lambda: 400)
    winfo_screenheight = staticmethod(lambda: 300)
    title = resizable = staticmethod(lambda *_: None)

    def __init__(self) -> None:
        self.bound: dict[str, Callable[..., None]] = {}
        self.n_updates = 0
        self.is_destroyed = False

    def bind(self, name: str, call: Callable[..., None]) -> None:
        """Record a callback."""
        self.bound[name] = call

    protocol = bind

    def update(self) -> None:
        """Count the call."""
        self.n_updates += 1

    def destroy(self) -> None:
        """Record the call."""
        self.is_destroyed = True


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the displayed images, as PPM files."""
    images: list[bytes] = []

    def configure(image: bytes) -> None:
        images.append(image)

    label = SimpleNamespace(pack=lambda: None, configure=configure)
    monkeypatch.setattr(tkinter, "Tk", Root)
    monkeypatch.setattr(tkinter, "Label", lambda _root, borderwidth: label)
    monkeypatch.setattr(tkinter, "PhotoImage", lambda data, **_: data)
    return images


def test_images_are_shrunk_to_fit_the_screen(shown: list[bytes]) -> None:
    window = PreviewWindow("a")
    small = np.random.default_rng(0).integers(0, 255, (100, 120, 3), np.uint8)
    window.show(small)
    assert shown[0] == b"P6 120 100 255\n" + small.tobytes()
    window.show(np.zeros((1000, 500, 3), np.uint8))
    assert shown[1].startswith(
        f"P6 {round(150 * SCREEN_FRACTION)} {round(300 * SCREEN_FRACTION)} 255\n".encode()
    )
    assert window._root.n_updates == 2
    window.close()
    assert window._root.is_destroyed


@pytest.mark.parametrize("event", [*CLOSING_KEYS, "WM_DELETE_WINDOW"])
def test_keys_and_the_close_button_close_the_window(shown: list[bytes], event: str) -> None:
    window = PreviewWindow("a")
    assert not window.is_closed
    window._root.bound[f"<{event}>" if event == "Escape" else event]()
    assert window.is_closed


def test_a_frame_is_shown_with_its_predictions(shown: list[bytes]) -> None:
    """An unreadable one shows nothing."""
    window = PreviewWindow("a")
    row = FacePrediction("a", status="no_face")
    assert not window.add(ImagePrediction("a", (row,)))
    assert not shown
    assert not window.add(ImagePrediction("a", (row,), np.full((200, 300, 3), 90, np.uint8)))
    pixels = np.frombuffer(shown[0].split(b"\n", 1)[1], np.uint8)
    assert (pixels == 90).mean() > 0.8
    assert (pixels != 90).any()
