"""URLs as sources: what is shown of them, and photographs read from them."""

import base64
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from mien.faces.file_signatures import OTHER_IMAGE_FORMATS, READABLE_FORMATS, identify_format
from mien.faces.images import UnreadableImage
from mien.runtime.addresses import split_userinfo

URL_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://")
# A photograph may be this large, no answer may be awaited longer than this, and all of it must arrive in this time.
MAX_IMAGE_BYTES = 64 * 1024 * 1024
TIMEOUT_S, MAX_DOWNLOAD_S = 10.0, 60.0
# How much of an answer identifies its format.
_HEAD_BYTES = 4096
_BLOCK_BYTES = 65_536
HIDDEN = "***"
# No file system has longer paths.
MAX_PATH_LENGTH = 4_096
_SECRETS = re.compile(
    r"(?i)(?<![a-z])(user|username|login|pass|passwd|password|pwd|token|key|secret|auth|sig|signature)=[^/;&_]*"
)


def is_url(source: str) -> bool:
    """Return whether a name is the URL of a photo, video or stream."""
    return source.lower().startswith(URL_SCHEMES)


def explain_name(name: str) -> str:
    """Return what to do about a name that is neither an existing file nor a URL that can be read; empty if unclear.

    Example:
        >>> explain_name("file:///home/me/a.jpg")
        'pass the path alone, without file://'
    """
    scheme = name.partition(":")[0].lower()
    if name.startswith("~"):
        return "only a shell expands ~, and not in quotes; pass the full path"
    if scheme == "file":
        return "pass the path alone, without file://"
    is_base64 = identify_format(name[:MAX_PATH_LENGTH].encode(errors="replace")) == "base64"
    if scheme == "data" or is_base64 or len(name) > MAX_PATH_LENGTH:
        return (
            "for an image in base64, pass the bytes that `base64.b64decode` returns, or write them to a file"
        )
    if re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE):
        return f"addresses begin with {', '.join(URL_SCHEMES)}; download what is elsewhere"
    return ""


def redact_url(url: str) -> str:
    """Return a URL that can be shown and written: without user, password, fragment and the values of its query.

    Example:
        >>> redact_url("https://me:secret@host/a.mp4?id=7&token=f00#t=1")
        'https://host/a.mp4?id=***&token=***'
    """
    scheme, _, rest = url.partition("://")
    rest = rest.partition("#")[0]
    rest, mark, query = rest.partition("?")
    host, slash, path = split_userinfo(rest)[1].partition("/")
    path = _SECRETS.sub(rf"\1={HIDDEN}", path)
    names = [part.partition("=") for part in query.split("&")] if query else []
    hidden = "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in names)
    return f"{scheme}://{host}{slash}{path}{mark}{hidden}"


def is_image_url(url: str) -> bool:
    """Return whether an ``http(s)://`` URL answers with an image, by its content; False if it does not answer."""
    if not url.lower().startswith("http"):
        return False
    try:
        with _request(url) as response:
            return identify_format(response.read(_HEAD_BYTES)) in READABLE_FORMATS | OTHER_IMAGE_FORMATS
    except (OSError, ValueError, http.client.HTTPException):
        return False


def download_image(url: str) -> bytes:
    """Return the bytes of a photograph at an ``http(s)://`` URL.

    Raises:
        UnreadableImage: the server does not answer, reports an error, or sends too much or too slowly.
    """
    deadline = time.monotonic() + MAX_DOWNLOAD_S
    data = bytearray()
    try:
        with _request(url) as response:
            while block := response.read1(_BLOCK_BYTES):
                data += block
                if len(data) > MAX_IMAGE_BYTES:
                    raise UnreadableImage("image_too_large", f"more than {MAX_IMAGE_BYTES:,} bytes")
                if time.monotonic() > deadline:
                    raise UnreadableImage("unreadable_url", f"not received within {MAX_DOWNLOAD_S:g} s")
            if response.length:
                raise UnreadableImage(
                    "truncated_image", f"the connection ended {response.length:,} bytes early"
                )
    except urllib.error.HTTPError as error:
        raise UnreadableImage("unreadable_url", f"the server answers {error.code} {error.reason}") from None
    except TimeoutError:
        raise UnreadableImage("unreadable_url", f"no answer within {TIMEOUT_S:g} s") from None
    except urllib.error.URLError as error:
        # Not the error's own text, which may hold the URL.
        reason = getattr(error.reason, "strerror", None) or type(error.reason).__name__
        raise UnreadableImage("unreadable_url", f"no connection: {reason}") from None
    except (http.client.InvalidURL, ValueError):
        raise UnreadableImage("unreadable_url", "the address is malformed") from None
    except (OSError, http.client.HTTPException) as error:
        raise UnreadableImage("unreadable_url", f"no connection: {type(error).__name__}") from None
    return bytes(data)


def _request(url: str) -> Any:
    """Open an ``http(s)://`` URL, with its user name and password as HTTP basic authentication."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http URL")
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    address = urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, query, ""))
    request = urllib.request.Request(address, headers={"User-Agent": "mien"})  # noqa: S310 - checked above
    if parts.username is not None:
        user, password = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        # A redirect to another server does not get them.
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        raise
