"""A request's body becomes images' bytes, in memory alone: nothing that is uploaded reaches a disk or a log."""

import asyncio
import logging
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from mien.serve.api_errors import ApiError
from mien.serve.settings import ServeSettings

FIELD = "images"
# Parts of a form that are no images are skipped, as long as they are so few.
MAX_OTHER_PARTS = 16
_CHUNK_BYTES = 1024**2

# The form's parser would write into the log whatever it does not like of what a client sends; the answer says it.
logging.getLogger("python_multipart.multipart").disabled = True


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that may be an image.

    Attributes:
        source: its file's name as it was sent, empty where there is none.
        data: its content.
    """

    source: str
    data: bytes


@dataclass(slots=True)
class MemoryBudget:
    """How many bytes all requests together hold.

    Attributes:
        limit: that they may hold.
        held: that they do hold.
    """

    limit: int
    held: int = 0

    def take(self, n_bytes: int) -> None:
        """Take so many more.

        Raises:
            ApiError: 429, they are too many.
        """
        if self.held + n_bytes > self.limit:
            message = f"Requests in hand hold {self.held:,} bytes of at most {self.limit:,}. Try again later"
            raise ApiError(429, "busy", message, headers={"Retry-After": "1"})
        self.held += n_bytes

    def give_back(self, n_bytes: int) -> None:
        """Let so many go."""
        self.held -= n_bytes


def require_media_type(content_type: str) -> str:
    """Return a body's media type, which may be a form's or an image's.

    Raises:
        ApiError: 415, it is neither.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in ("multipart/form-data", "application/octet-stream") and not media_type.startswith(
        "image/"
    ):
        raise ApiError(
            415,
            "unsupported_media_type",
            f"The body must be multipart/form-data with `{FIELD}`, or an image as image/* or "
            f"application/octet-stream; got {media_type[:80]!r}",
        )
    return media_type


async def read_body(request: Request, settings: ServeSettings, in_hand: MemoryBudget) -> bytearray:
    """Read a body as it comes, no further than the limits; the caller gives its bytes back.

    Raises:
        ApiError: 408, 413, 429: too slow, too large, or too much is in hand; 415: it is compressed.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "unsupported_media_type", "A compressed body is not read. Send it as it is")
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit():
        _require_size(int(announced), settings)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for chunk in request.stream():
                _require_size(len(body) + len(chunk), settings)
                in_hand.take(len(chunk))
                body += chunk
    except BaseException as error:
        in_hand.give_back(len(body))
        if isinstance(error, TimeoutError):
            message = f"The body must come within {settings.body_seconds:g} seconds"
            raise ApiError(408, "request_timeout", message) from None
        if isinstance(error, ClientDisconnect):
            raise ApiError(400, "client_left", "The client left before its body had come") from None
        raise
    return body


def _require_size(n_bytes: int, settings: ServeSettings) -> None:
    if n_bytes > settings.body_bytes:
        message = f"A body may have {settings.body_bytes:,} bytes. Send fewer or smaller images"
        raise ApiError(413, "body_too_large", message)


def images_of(body: bytes | bytearray, content_type: str, settings: ServeSettings) -> list[Upload]:
    """Return the images of a body.

    Raises:
        ApiError: 400: the form is damaged; 413: it has too many images; 422: it has none.
    """
    if require_media_type(content_type) != "multipart/form-data":
        uploads = [Upload("", bytes(body))] if body else []
    else:
        uploads = _parts_of(body, content_type, settings)
    if not uploads:
        message = f"The request has no image. Send files as `{FIELD}`, or an image as the body"
        raise ApiError(422, "no_image", message)
    return uploads


def _parts_of(body: bytes | bytearray, content_type: str, settings: ServeSettings) -> list[Upload]:
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    parts = _Parts(settings.images)
    try:
        # The types of python-multipart spell the callbacks out one by one.
        parser = MultipartParser(boundary, {name: getattr(parts, name) for name in _CALLBACKS})  # type: ignore[arg-type]
        for start in range(0, len(body), _CHUNK_BYTES):
            parser.write(bytes(body[start : start + _CHUNK_BYTES]))
        parser.finalize()
    except (FormParserError, UnicodeError) as error:
        raise ApiError(400, "bad_form", f"The form cannot be read: {error}") from None
    if not parts.ended:
        raise ApiError(400, "bad_form", "The form ends too early, or has no boundary")
    return parts.uploads


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


@dataclass(slots=True)
class _Parts:
    """Takes the events of the form's parser and keeps the images."""

    max_images: int
    uploads: list[Upload] = field(default_factory=list)
    ended: bool = False
    _n_others: int = 0
    _header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    _disposition: bytes = b""
    _source: str | None = None
    _data: list[bytes] = field(default_factory=list)

    def on_part_begin(self) -> None:
        self._disposition, self._data = b"", []

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def on_header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])
        self._header = (bytearray(), bytearray())

    def on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        is_image = options.get(b"name", b"") == FIELD.encode()
        self._source = options.get(b"filename", b"").decode("utf-8", "replace") if is_image else None
        if is_image and len(self.uploads) == self.max_images:
            message = f"A request may have {self.max_images} images. Send them in several"
            raise ApiError(413, "too_many_images", message)
        self._n_others += not is_image
        if self._n_others > MAX_OTHER_PARTS:
            raise ApiError(
                400, "bad_form", f"The form has more than {MAX_OTHER_PARTS} parts beside `{FIELD}`"
            )

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._source is not None:
            self._data.append(data[start:end])

    def on_part_end(self) -> None:
        if self._source is not None:
            self.uploads.append(Upload(self._source, b"".join(self._data)))

    def on_end(self) -> None:
        self.ended = True
