"""Predictions inside an application of your own: pip install 'mien[serve]', then uvicorn fastapi_app:app

`mien serve` is a complete server, with limits, batching and a page. This is for applications that have one already.
"""

from typing import Any

from fastapi import FastAPI, UploadFile

import mien

app = FastAPI()
# Once, not in each request. A model can be used from several threads.
model = mien.load(min_confidence=0.5)


@app.post("/faces")
def faces(image: UploadFile) -> dict[str, Any]:
    """Return the faces of an uploaded image. A function without `async` runs in a thread, so that others can be served."""
    prediction = model.predict(image.file.read())
    # A file that cannot be read raises nothing: it has one row whose status says why.
    return {"rows": [row.to_dict() | {"source": image.filename} for row in prediction.rows]}
