"""From request bodies to image bytes, in memory only: uploads are never written to disk or to a log."""

import asyncio
import base64
import binascii
import logging
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from mien.inference.given_faces import GivenFaces
from mien.runtime.json_text import parse_json
from mien.serve.api_errors import ApiError
from mien.serve.memory_budget import MemoryBudget
from mien.serve.schemas import PredictQuery
from mien.serve.settings import ServeSettings

FIELD = "images"
JSON = "application/json"
# Form fields that are neither files nor options, such as that of a button, are skipped, up to this many.
MAX_OTHER_PARTS = 16
_CHUNK_BYTES = 1024**2

# The form parser logs whatever it finds wrong with client input; the response reports it instead.
# Not by `disabled`, which uvicorn resets when it configures logging.
logging.getLogger("python_multipart.multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file that may be an image.

    Attributes:
        source: file name as sent, empty if there is none.
        data: content of the file.
        faces: where the faces are, if the client says so; None to detect them.
    """

    source: str
    data: bytes
    faces: GivenFaces | None = None


def require_media_type(content_type: str) -> str:
    """Return the media type of a body, which must be a form, JSON or an image.

    Raises:
        ApiError: 415, it is none of them.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    is_known = media_type in ("multipart/form-data", "application/octet-stream", JSON)
    if not is_known and not media_type.startswith("image/"):
        raise ApiError(
            415,
            "unsupported_media_type",
            f"The body must be multipart/form-data with `{FIELD}`, {JSON} with `{FIELD}` in base64, or an image as image/* "
            f"or application/octet-stream; got {f'Content-Type {media_type[:80]!r}' if media_type else 'no Content-Type'}",
        )
    return media_type


async def read_body(request: Request, settings: ServeSettings, budget: MemoryBudget) -> bytearray:
    """Receive a request body within the limits; the caller must release its bytes to the budget.

    Raises:
        ApiError: 408, 413, 429: too slow, too large, or the budget is exhausted; 415: it is compressed; 400: the
            client disconnected.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(
            415, "unsupported_media_type", "Compressed bodies are not supported. Send it uncompressed"
        )
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit():
        _require_size(int(declared), settings)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for chunk in request.stream():
                _require_size(len(body) + len(chunk), settings)
                budget.reserve(len(chunk))
                body += chunk
    except BaseException as error:
        budget.release(len(body))
        if isinstance(error, TimeoutError):
            message = f"The request body must arrive within {settings.body_seconds:g} seconds"
            raise ApiError(408, "request_timeout", message) from None
        if isinstance(error, ClientDisconnect):
            message = "The client disconnected before its body was complete"
            raise ApiError(400, "client_disconnected", message) from None
        raise
    return body


def _require_size(n_bytes: int, settings: ServeSettings) -> None:
    if n_bytes > settings.body_bytes:
        message = f"A body may have at most {settings.body_bytes:,} bytes. Send fewer or smaller images"
        raise ApiError(413, "body_too_large", message)


def extract_images(body: bytes | bytearray, content_type: str, settings: ServeSettings) -> list[Upload]:
    """Return the images of a request body, in the order sent.

    Raises:
        ApiError: 400: the form or the JSON is malformed; 413: it has too many images; 422: it has none, one that is not
            base64, or a form has files or options as other fields.
    """
    media_type = require_media_type(content_type)
    if media_type == JSON:
        uploads = _extract_json_images(body, settings)
    elif media_type != "multipart/form-data":
        uploads = [Upload("", bytes(body))] if body else []
    else:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            message = "The Content-Type has no boundary: leave that header to the HTTP client, which adds it to a form"
            raise ApiError(400, "invalid_form", message)
        form = _FormImages(settings.images)
        try:
            # The types of python-multipart list the callbacks one by one.
            parser = MultipartParser(boundary, {name: getattr(form, name) for name in _CALLBACKS})  # type: ignore[arg-type]
            for start in range(0, len(body), _CHUNK_BYTES):
                parser.write(bytes(body[start : start + _CHUNK_BYTES]))
            parser.finalize()
        except (FormParserError, UnicodeError) as error:
            raise ApiError(400, "invalid_form", f"The form is malformed: {error}") from None
        if not form.is_complete:
            raise ApiError(400, "invalid_form", "The form is truncated")
        uploads = form.uploads
    if not uploads:
        message = f"The request has no image. Send files as `{FIELD}`, or an image as the body"
        raise ApiError(422, "no_image", message)
    return uploads


def _require_count(n_images: int, limit: int) -> None:
    if n_images > limit:
        message = f"A request may have at most {limit} images. Split them over several requests"
        raise ApiError(413, "too_many_images", message)


def _extract_json_images(body: bytes | bytearray, settings: ServeSettings) -> list[Upload]:
    """Return the images of ``{"image": IMAGE}`` or ``{"images": [IMAGE, ...]}``.

    IMAGE is base64 or a data URL, or ``{"data": BASE64}`` with any of ``source``, ``boxes_xyxy`` and ``landmarks``.
    """
    expected = f'The body must be {{"image": BASE64}} or {{"{FIELD}": [BASE64, ...]}}'
    try:
        document = parse_json(body)
    except ValueError as error:
        raise ApiError(400, "invalid_json", f"{expected}; this JSON cannot be read: {error}") from None
    if not isinstance(document, dict) or len(document) != 1 or not document.keys() <= {"image", FIELD}:
        found = ", ".join(f"`{key[:40]}`" for key in list(document)[:5]) if isinstance(document, dict) else ""
        message = f"{expected}, got {found or 'something else'}. Options belong in the address, as in ?top=3"
        raise ApiError(422, "invalid_parameter", message)
    [(key, value)] = document.items()
    if key == FIELD and not isinstance(value, list):
        raise ApiError(422, "invalid_parameter", f"`{FIELD}` must be a list; a single image is `image`")
    entries = value if key == FIELD else [value]
    _require_count(len(entries), settings.images)
    names = [f"{FIELD}[{index}]" for index in range(len(entries))] if key == FIELD else [key]
    return [
        _decode_json_image(entry, name, settings.faces) for entry, name in zip(entries, names, strict=True)
    ]


def _decode_json_image(entry: object, name: str, max_faces: int) -> Upload:
    source, faces = "", None
    if (
        isinstance(entry, dict)
        and entry.keys() <= {"source", "data", "boxes_xyxy", "landmarks"}
        and isinstance(entry.get("source", ""), str)
    ):
        try:
            if entry.get("boxes_xyxy") is not None or entry.get("landmarks") is not None:
                faces = GivenFaces(entry.get("boxes_xyxy"), entry.get("landmarks"))
        except ValueError as error:
            raise ApiError(422, "invalid_parameter", f"`{name}`: {error}") from None
        if faces is not None and len(faces) > max_faces:
            message = f"`{name}` has {len(faces):,} faces, the limit is {max_faces:,}. Send it several times"
            raise ApiError(422, "invalid_parameter", message)
        source, entry = entry.get("source", ""), entry.get("data")
    if not isinstance(entry, str):
        message = f'`{name}` must be base64, a data URL, or {{"data": BASE64}} with `source`, `boxes_xyxy` or `landmarks`'
        raise ApiError(422, "invalid_parameter", message)
    if entry[:8].lower().startswith(("http://", "https://")):
        message = f"`{name}` is an address, and the server fetches none. Send the image itself in base64"
        raise ApiError(422, "invalid_base64", message)
    head, comma, text = entry.partition(",") if entry[:5].lower() == "data:" else ("", "", entry)
    if comma and not head.lower().endswith(";base64"):
        raise ApiError(422, "invalid_base64", f"`{name}` is a data URL without `;base64`")
    # With line breaks, in the alphabet of addresses, and without padding, as various encoders write it.
    text = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return Upload(source, base64.b64decode(text + "=" * (-len(text) % 4), validate=True), faces)
    except (binascii.Error, ValueError):
        raise ApiError(422, "invalid_base64", f"`{name}` is not valid base64") from None


_CALLBACKS = (
    "on_part_begin",
    "on_header_field",
    "on_header_value",
    "on_header_end",
    "on_headers_finished",
    "on_part_data",
    "on_part_end",
    "on_end",
)


class _FormImages:
    """Collects the images of a form from the parser's callbacks."""

    def __init__(self, max_images: int) -> None:
        self.max_images = max_images
        self.uploads: list[Upload] = []
        self.is_complete = False
        self._n_others = 0
        self._header_name, self._header_value = bytearray(), bytearray()
        self._disposition = b""
        self._source: str | None = None
        self._data: list[bytes] = []

    def on_part_begin(self) -> None:
        self._disposition, self._data = b"", []

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        is_image = name == FIELD
        if not is_image and options.get(b"filename"):
            message = f"A form's files must be sent as `{FIELD}`, got one as `{name[:40]}`"
            raise ApiError(422, "invalid_parameter", message)
        if name in PredictQuery.model_fields:
            message = f"`{name}` is an option, which belongs in the address, as in ?top=3, not in the form"
            raise ApiError(422, "invalid_parameter", message)
        self._source = options.get(b"filename", b"").decode("utf-8", "replace") if is_image else None
        if is_image:
            _require_count(len(self.uploads) + 1, self.max_images)
        self._n_others += not is_image
        if self._n_others > MAX_OTHER_PARTS:
            message = f"The form has more than {MAX_OTHER_PARTS} parts other than `{FIELD}`"
            raise ApiError(400, "invalid_form", message)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._source is not None:
            self._data.append(data[start:end])

    def on_part_end(self) -> None:
        if self._source is not None:
            self.uploads.append(Upload(self._source, b"".join(self._data)))

    def on_end(self) -> None:
        self.is_complete = True
