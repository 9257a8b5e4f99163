"""Send the frames of a camera or a video to `mien serve`, and print the expression of each face as it comes back.

    pip install mien websockets
    mien serve
    python examples/stream/client.py 0                 # the first camera; or the path of a video

Frames are sent as they come, and the server predicts the newest one: those that it left out are counted.
"""

import argparse
import asyncio
import json
import os

import cv2
import websockets


async def stream(source: str | int, address: str) -> None:
    """Send frames until the source ends or the server closes the stream."""
    capture = cv2.VideoCapture(source)
    token = os.environ.get("MIEN_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else None
    async with websockets.connect(address, additional_headers=headers, compression=None) as connection:

        async def send() -> None:
            interval = 1 / (capture.get(cv2.CAP_PROP_FPS) or 30)
            while (found := await asyncio.to_thread(capture.read))[0]:
                _, jpeg = cv2.imencode(".jpg", found[1], [cv2.IMWRITE_JPEG_QUALITY, 90])
                await connection.send(jpeg.tobytes())
                if isinstance(source, str):
                    await asyncio.sleep(interval)
            await asyncio.sleep(1)
            await connection.close()

        sending = asyncio.create_task(send())
        async for message in connection:
            answer = json.loads(message)
            faces = [
                f"{row['track']}: {row['expression']} {row['confidence']:.0%}"
                for row in answer.get("rows", [])
                if row["status"] == "ok"
            ]
            what = ", ".join(faces) or answer.get("error", {}).get("message", "no face")
            print(f"frame {answer['frame']}, {answer['skipped']} left out: {what}")
        await sending


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="number of a camera, or path of a video")
    parser.add_argument("--address", default="ws://127.0.0.1:8000/v1/stream?top=1")
    args = parser.parse_args()
    asyncio.run(stream(int(args.source) if args.source.isdecimal() else args.source, args.address))


if __name__ == "__main__":
    main()
