"""How many may be connected: in all and from one address. Those beyond are guests, who are told of health alone.

A server that holds as many connections as it may open files cannot accept one more, not even to say that it is well.
So the limits follow from that of open files, and leave room.
"""

import ipaddress
import sys
from collections import Counter as Tally
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from mien.errors import SourceError
from mien.serve.settings import ServeSettings

if sys.platform != "win32":
    import resource

# Connections that the system has ready are accepted so few at a time, that a guest's request is read before as many
# others as there may be guests have come. It takes about four turns of the event loop.
ACCEPTED_AT_ONCE = 16
MAX_GUESTS = 64
MAX_CONNECTIONS = 1000
MAX_PER_CLIENT = 100
# The model, the listener, libraries, and a few that are only about to be closed.
_OTHER_FILES = 64
# A client that downloads has a connection and the file.
_FILES_EACH = 2
# Of an IPv6 address, what a network provider gives to one customer.
_IPV6_PREFIX = 64


class Connection(Protocol):
    """What the crowd knows of a connection."""

    address: str

    def abort(self) -> None:
        """End it at once."""


@dataclass(frozen=True, slots=True)
class CrowdLimits:
    """How many connections there may be.

    Attributes:
        connections: in all.
        per_client: from one address.
    """

    connections: int
    per_client: int


def crowd_limits(settings: ServeSettings, n_files: int | None) -> CrowdLimits:
    """Return the limits of connections that go with a limit of open files.

    Args:
        settings: what is asked for.
        n_files: as `open_files_limit` has it, None where there is none.

    Raises:
        SourceError: there may be too few open files for so many.
    """
    spare = MAX_GUESTS + _OTHER_FILES
    most = sys.maxsize if n_files is None else max(0, (n_files - spare) // _FILES_EACH)
    wanted = settings.connections or max(1, min(MAX_CONNECTIONS, most))
    if wanted > most:
        needed = wanted * _FILES_EACH + spare
        raise SourceError(
            f"{wanted:,} connections need {needed:,} open files, and this process may have {n_files:,}. "
            f"Run `ulimit -n {needed}` before, or ask for fewer `--connections`"
        )
    per_client = settings.connections_per_client or max(1, min(MAX_PER_CLIENT, wanted // 2))
    return CrowdLimits(wanted, per_client)


def open_files_limit() -> int | None:
    """Return how many files this process may have open; None where nothing limits it, as on Windows."""
    if sys.platform == "win32":
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


@dataclass(slots=True)
class Crowd:
    """Who is connected. Lives in one event loop.

    Attributes:
        limits: how many may be.
    """

    limits: CrowdLimits
    _n_admitted: int = 0
    _of_client: "Tally[str]" = field(default_factory=Tally)
    _guests: deque[Connection] = field(default_factory=deque)

    def enter(self, connection: Connection) -> bool:
        """Take in a connection; say whether it is one that may ask for anything.

        A guest too many is let in as well: the one that has been there longest goes.
        """
        client = client_of(connection.address)
        if self._n_admitted < self.limits.connections and self._of_client[client] < self.limits.per_client:
            self._n_admitted += 1
            self._of_client[client] += 1
            return True
        if len(self._guests) >= MAX_GUESTS:
            self._guests.popleft().abort()
        self._guests.append(connection)
        return False

    def leave(self, connection: Connection, *, was_admitted: bool) -> None:
        """Let a connection go."""
        if not was_admitted:
            if connection in self._guests:
                self._guests.remove(connection)
            return
        client = client_of(connection.address)
        self._n_admitted -= 1
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]


def client_of(address: str) -> str:
    """Return whom an address belongs to: an IPv4 address as it is, an IPv6 address' network."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _IPV6_PREFIX), strict=False))
