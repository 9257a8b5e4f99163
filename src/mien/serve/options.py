"""The options of `mien serve`. Imports nothing heavy: the command line is built from them."""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mien.inference.label_sets import CoverageOptions
from mien.runtime.options import DETECTOR_HELP, option, option_group
from mien.serve.settings import ServeSettings

TOKEN_VARIABLE = "MIEN_TOKEN"  # noqa: S105 - the name of an environment variable
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?")


def parse_token(text: str) -> str:
    """Return a token without surrounding blanks.

    Raises:
        ValueError: nothing is left.
    """
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def parse_origin(text: str) -> str:
    """Return an origin as browsers send it: in lower case, without the scheme's own port, without a trailing slash.

    Example:
        >>> parse_origin("HTTPS://Example.org:443/")
        'https://example.org'

    Raises:
        ValueError: it is no origin, ``*`` or ``null``.
    """
    text = text.strip()
    if text in ("*", "null"):
        return text
    example = "must be SCHEME://HOST[:PORT], such as https://example.org, or * or null"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        if ":" in host:
            host = f"[{ipaddress.ip_address(host)}]"
        elif not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError:
        raise ValueError(example) from None
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    if not parts.scheme or not host or has_more or "*" in host:
        raise ValueError(example)
    is_default = port is None or port == _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" + ("" if is_default else f":{port}")


def parse_host(text: str) -> str:
    """Return a host name, without the port, in lower case; or ``*``.

    Raises:
        ValueError: it has a scheme, a port or a path.
    """
    name = text.strip().lower().rstrip(".")
    if name != "*" and not _HOST.fullmatch(name):
        raise ValueError("must be a name such as faces.example.org, without scheme, port and path, or *")
    return name


def parse_prefix(text: str) -> str:
    """Return the path under which a proxy publishes the server, without a trailing slash; empty for the root.

    Raises:
        ValueError: it is not such a path.
    """
    prefix = text.strip().rstrip("/")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise ValueError("must be a path of letters, digits and . _ ~ -, such as /faces")
    return prefix


def parse_network(text: str) -> str:
    """Return an address or network in its usual form, or ``*``.

    Raises:
        ValueError: it is neither.
    """
    try:
        return text if text == "*" else str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise ValueError("must be an IP address, a network such as 10.0.0.0/8, or *") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where the server listens, and who may use it. With a token, every host name is allowed."""

    detector_path: Path | None = option(None, DETECTOR_HELP, flag="--detector", metavar="FILE")
    sets: CoverageOptions = field(default_factory=CoverageOptions)
    host: str = option("127.0.0.1", "address to listen on")
    port: int = option(8000, "port to listen on; 0: any free port", least=0, most=65_535)
    token: str | None = option(
        None,
        f"require this bearer token; prefer {TOKEN_VARIABLE}, which the process list does not show",
        repr=False,
        parse=parse_token,
    )
    allow_origins: tuple[str, ...] = option(
        (),
        "website whose pages may use the API, such as https://example.org; * allows any, null pages opened from a file; may "
        "be repeated (default: none)",
        flag="--allow-origin",
        metavar="ORIGIN",
        parse_each=parse_origin,
    )
    allow_hosts: tuple[str, ...] = option(
        (),
        "host name under which the server may be reached without a token, such as faces.example.org; * allows any; may "
        "be repeated (default: IP addresses, localhost and this machine's name)",
        flag="--allow-host",
        metavar="NAME",
        parse_each=parse_host,
    )
    root_path: str = option(
        "",
        "path under which a proxy publishes the server, such as /faces (default: X-Forwarded-Prefix of a trusted proxy)",
        metavar="PATH",
        parse=parse_prefix,
    )
    trusted_proxies: tuple[str, ...] = option(
        (),
        "address or network of a proxy whose X-Forwarded-Proto and X-Forwarded-Prefix are trusted; * for any; may be "
        "repeated (default: this machine)",
        flag="--trust-proxy",
        metavar="ADDRESS",
        parse_each=parse_network,
    )
    settings: ServeSettings = option_group(ServeSettings, "limits and timeouts")
