"""Ask a running server: mien serve, then python http_client.py photo.jpg [more.jpg ...]

Only the standard library is used, so that the file can be copied into any project.
"""

import argparse
import base64
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def predict(address: str, images: list[Path], token: str | None = None) -> list[dict[str, Any]]:
    """Return the server's result for each image, in order: ``source`` and ``rows``."""
    body = {
        "images": [
            {"source": image.name, "data": base64.b64encode(image.read_bytes()).decode()} for image in images
        ]
    }
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"{address}/v1/predict", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return list(json.load(response)["results"])
    except urllib.error.HTTPError as error:
        # Every error has the same shape, see docs/guide/serve.md.
        raise SystemExit(f"{error.code}: {json.load(error)['error']['message']}") from None


def main() -> None:
    """Print a line for each face, and for each image without one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    parser.add_argument("--token", help="if the server was started with MIEN_TOKEN")
    options = parser.parse_args()
    for result in predict(options.address, options.images, options.token):
        for row in result["rows"]:
            if row["status"] == "ok":
                print(f"{result['source']}: {row['expression']} {row['confidence']:.0%}")
            else:
                print(f"{result['source']}: {row['status']}")


if __name__ == "__main__":
    main()
