"""A form with an image or the webcam: pip install mien gradio, then python gradio_app.py"""

from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

import mien

model = mien.load()


def annotate(image: NDArray[np.uint8] | None) -> tuple[Any, dict[str, float]]:
    """Return the image with its predictions, and the probabilities of the largest face."""
    if image is None:
        return None, {}
    # Gradio's arrays are RGB, as mien expects them.
    prediction = model.predict(image)
    faces = prediction.faces
    return prediction.draw(image), dict(faces[0].probabilities) if faces else {}


app = gr.Interface(
    fn=annotate,
    inputs=gr.Image(sources=["upload", "webcam"], type="numpy", label="Image"),
    outputs=[gr.Image(label="Faces"), gr.Label(num_top_classes=3, label="Largest face")],
    title="Facial expressions",
    description="An expression is not a feeling: the model predicts what a face looks like to annotators.",
    flagging_mode="never",
    # Gradio would report its use otherwise.
    analytics_enabled=False,
)

if __name__ == "__main__":
    app.launch()
