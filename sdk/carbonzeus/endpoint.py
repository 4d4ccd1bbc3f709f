"""The endpoint that the node agent asks: one thread that answers `GET /metrics`, and nothing else."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable

PATH = "/metrics"
"""The only one there is."""
CONNECTIONS = 16
"""So many at a time; one more, and the oldest goes."""
WAITING = 64
"""So many more may wait to be let in."""
REQUEST_BYTES = 8192
"""A request that is longer gets no answer."""
REQUEST_WITHIN_S = 5.0
"""Nor does one that takes longer."""
PAUSE_S = 0.02
"""After each answer: whoever asks without end gets no more than 50 a second, and the training its processor."""


class Endpoint:
    """Open from the start until `close`. OSError where the port cannot be had, ValueError where it is none, RuntimeError where
    no thread can be had.

    `text` is what it tells. It is called in the endpoint's own thread.
    """

    def __init__(self, port: int, text: Callable[[], str]) -> None:
        self._text = text
        self._requests: dict[socket.socket, tuple[float, bytes]] = {}
        """By connection: until when its request must be here, and what of it is."""
        self._listener = _listen(port)
        self.port: int = self._listener.getsockname()[1]
        """Where it listens."""
        self._wake, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="carbonzeus", daemon=True)
        try:
            self._listener.setblocking(False)
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._selector.register(self._wake, selectors.EVENT_READ)
            self._thread.start()
        except (OSError, RuntimeError):
            self.abandon()
            raise

    def close(self) -> None:
        """Gives the port back. Who is waiting for an answer waits in vain."""
        self._listener.close()
        with contextlib.suppress(OSError):
            self._waker.send(b".")
        self._thread.join(1.0)

    def abandon(self) -> None:
        """Closes what is open and touches nothing else: in a forked child there is no thread, and the rest is the parent's."""
        for connection in self._requests:
            connection.close()
        for one in (self._listener, self._selector, self._wake, self._waker):
            one.close()

    def _run(self) -> None:
        try:
            while True:
                for key, _ in self._selector.select(self._patience_s()):
                    if key.fileobj is self._wake:
                        return
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._requests:
                        self._read(key.fileobj)
                self._expire()
        finally:
            self.abandon()

    def _patience_s(self) -> float | None:
        """How long nothing has to be done, if nobody asks: for ever, while there is no connection."""
        nearest = min((deadline for deadline, _ in self._requests.values()), default=None)
        return None if nearest is None else max(nearest - time.monotonic(), 0.0)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            time.sleep(PAUSE_S)  # it was gone again, or there are no more descriptors
            return
        if len(self._requests) == CONNECTIONS:
            self._finish(next(iter(self._requests)))
        connection.setblocking(False)
        self._requests[connection] = (time.monotonic() + REQUEST_WITHIN_S, b"")
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> None:
        deadline, request = self._requests[connection]
        try:
            more = connection.recv(REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        request += more
        if b"\r\n\r\n" in request:
            self._answer(connection, request)
        elif not more or len(request) >= REQUEST_BYTES:
            self._finish(connection)
        else:
            self._requests[connection] = (deadline, request)
            time.sleep(PAUSE_S)  # nobody needs two pieces for it

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        method, path = (*request.split(maxsplit=2), b"", b"")[:2]
        if path.partition(b"?")[0] != PATH.encode():
            status, body = "404 Not Found", f"only {PATH} is here\n"
        elif method != b"GET":
            status, body = "405 Method Not Allowed\r\nAllow: GET", "only GET\n"
        else:
            status, body = "200 OK", self._text()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with contextlib.suppress(OSError):  # it did not wait
            connection.send((head + body).encode())
            connection.shutdown(socket.SHUT_WR)
        self._finish(connection)

    def _expire(self) -> None:
        now_s = time.monotonic()
        for connection in [one for one, (deadline, _) in self._requests.items() if deadline <= now_s]:
            self._finish(connection)

    def _finish(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._requests[connection]
        connection.close()
        time.sleep(PAUSE_S)


def _listen(port: int) -> socket.socket:
    """On every address of the pod, of both families where the kernel has both: the agent knows one of them."""
    if not 0 <= port <= 65_535:
        raise ValueError("ports are from 1 to 65535")
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=WAITING, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
    return socket.create_server(("", port), backlog=WAITING)
