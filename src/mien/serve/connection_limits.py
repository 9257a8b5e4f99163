"""Limits on open connections, in total and per client. Connections beyond them may only ask for health.

A server that holds as many connections as it may open files cannot accept another one, not even to report that it is
healthy. The limits are therefore derived from the open-file limit, with room to spare.
"""

import ipaddress
import sys
from collections import Counter, deque
from typing import NamedTuple, Protocol

from mien.errors import SourceError
from mien.serve.settings import ServeSettings

if sys.platform != "win32":
    import resource

# Pending connections accepted per turn of the event loop: few enough that the request on an excess connection is read
# before `MAX_EXCESS_CONNECTIONS` others have arrived. Reading it takes about four turns.
ACCEPTED_PER_TURN = 16
MAX_EXCESS_CONNECTIONS = 64
MAX_CONNECTIONS = 1000
MAX_PER_CLIENT = 100
# The model, the listener, libraries, and a few connections that are about to close.
_OTHER_FILES = 64
# A client that downloads needs its socket and the file.
_FILES_PER_CONNECTION = 2
# The part of an IPv6 address that a provider assigns to one customer.
_IPV6_PREFIX = 64


class Connection(Protocol):
    """What `ConnectionLimiter` needs to know about a connection."""

    address: str

    def abort(self) -> None:
        """Close it immediately."""


class ConnectionLimits(NamedTuple):
    """Maximum open connections, in total and per client."""

    total: int
    per_client: int


def resolve_limits(settings: ServeSettings, max_files: int | None) -> ConnectionLimits:
    """Return the connection limits that fit an open-file limit.

    Args:
        settings: the limits asked for, 0 for automatic.
        max_files: see `open_file_limit`; None if unlimited.

    Raises:
        SourceError: the limits asked for need more open files.
    """
    reserved = MAX_EXCESS_CONNECTIONS + _OTHER_FILES
    most = sys.maxsize if max_files is None else max(0, (max_files - reserved) // _FILES_PER_CONNECTION)
    total = settings.connections or max(1, min(MAX_CONNECTIONS, most))
    if total > most:
        needed = total * _FILES_PER_CONNECTION + reserved
        raise SourceError(
            f"{total:,} connections need {needed:,} open files, and the limit of this process is {max_files:,}. "
            f"Run `ulimit -n {needed}` first, or lower `--connections`"
        )
    return ConnectionLimits(total, settings.connections_per_client or max(1, min(MAX_PER_CLIENT, total // 2)))


def open_file_limit() -> int | None:
    """Return how many files this process may open; None if there is no limit, as on Windows."""
    if sys.platform == "win32":
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


class ConnectionLimiter:
    """Tracks the open connections. Belongs to one event loop."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._n_admitted = 0
        self._n_per_client: Counter[str] = Counter()
        self._excess: deque[Connection] = deque()

    def add(self, connection: Connection) -> bool:
        """Register a connection and return whether it is within the limits.

        An excess connection is registered too; if there are too many of those, the oldest is closed.
        """
        client = client_of(connection.address)
        if self._n_admitted < self.limits.total and self._n_per_client[client] < self.limits.per_client:
            self._n_admitted += 1
            self._n_per_client[client] += 1
            return True
        if len(self._excess) >= MAX_EXCESS_CONNECTIONS:
            self._excess.popleft().abort()
        self._excess.append(connection)
        return False

    def remove(self, connection: Connection, *, was_admitted: bool) -> None:
        """Unregister a closed connection."""
        if not was_admitted:
            if connection in self._excess:
                self._excess.remove(connection)
            return
        client = client_of(connection.address)
        self._n_admitted -= 1
        self._n_per_client[client] -= 1
        if not self._n_per_client[client]:
            del self._n_per_client[client]


def client_of(address: str) -> str:
    """Return the client that an address belongs to: the IPv4 address itself, or the IPv6 /64 network."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _IPV6_PREFIX), strict=False))
