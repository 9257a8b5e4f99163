"""The listening socket."""

import socket

from mien.serve.server import bind_socket


def test_accepted_sockets_get_tcp_nodelay() -> None:
    """Asyncio sets TCP_NODELAY only on sockets whose protocol is TCP; without it, small responses are delayed by 40 ms."""
    with bind_socket("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert listener.getsockname()[1] > 0
