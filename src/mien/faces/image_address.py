"""Reading an image at an http(s) address, with limits on its size and on the time it takes."""

import base64
import http.client
import time
import urllib.request
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from mien.faces.image_files import MAX_FILE_BYTES
from mien.faces.images import UnreadableImage

TIMEOUT_S = 10.0
DEADLINE_S = 60.0
_CHUNK_BYTES = 1 << 16


def is_image_address(name: str) -> bool:
    """Return whether a name is an http(s) address."""
    return name.lower().startswith(("http://", "https://"))


def read_image_address(address: str) -> bytes:
    """Return what is at an http(s) address.

    Raises:
        UnreadableImage: ``unreadable_address`` with the reason, or ``image_too_large``.
    """
    deadline = time.monotonic() + DEADLINE_S
    data = bytearray()
    try:
        parts = urlsplit(address)
        login, _, host = parts.netloc.rpartition("@")
        path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
        request = urllib.request.Request(  # noqa: S310 - http or https, and redirects go nowhere else
            urlunsplit((parts.scheme, host, path, parts.query, "")), headers={"User-Agent": "mien"}
        )
        if login:
            token = base64.b64encode(unquote(login).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            # `read1` returns what one packet brought, so that a server that sends a byte at a time meets the deadline.
            while chunk := response.read1(_CHUNK_BYTES):
                data += chunk
                if len(data) > MAX_FILE_BYTES:
                    raise UnreadableImage("image_too_large", f"more than {MAX_FILE_BYTES:,} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"it takes longer than {DEADLINE_S:g} s")
            n_missing = response.length
    except HTTPError as error:
        error.close()
        raise UnreadableImage("unreadable_address", f"HTTP status {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UnreadableImage("unreadable_address", str(reason) or type(error).__name__) from None
    if n_missing:
        raise UnreadableImage("truncated_image", f"the connection ended {n_missing:,} bytes early")
    return bytes(data)
