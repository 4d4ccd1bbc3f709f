"""The endpoint in a training's process: small, bounded, and on every address."""

from __future__ import annotations

import errno
import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from carbonzeus import endpoint as module
from carbonzeus.endpoint import CONNECTIONS, REQUEST_BYTES, Endpoint
from tests.unit.sdk.asking import count_at, eventually


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """One that makes no pauses."""
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    one = Endpoint(0, lambda: "train_steps_total 5\n")
    yield one
    one.close()
    assert not one._thread.is_alive()
    assert one._requests == {} or all(connection.fileno() == -1 for connection in one._requests)


def connect(endpoint: Endpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", endpoint.port), timeout=5)


def said(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    answer = b""
    while more := connection.recv(4096):
        answer += more
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_pods_of_both_families_are_answered(endpoint: Endpoint, host: str) -> None:
    """A pod may have an IPv4 address, an IPv6 address, or both."""
    if host == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    assert count_at(endpoint.port, host) == 5


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("fault", ["no family", "no address"])
def test_a_kernel_without_ipv6_is_no_obstacle(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are built without it, some have it switched off."""
    create = socket.create_server

    def without(address: tuple[str, int], *, family: int = socket.AF_INET, **kwargs: object) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return create(address, family=family, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_server", without)
    if fault == "no family":
        monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    endpoint = Endpoint(0, lambda: "train_steps_total 5\n")
    assert endpoint._listener.family == socket.AF_INET
    assert count_at(endpoint.port) == 5
    endpoint.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("GET", "/metrics?x=1", 200),
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("POST", "/metrics", 405),
        ("HEAD", "/metrics", 405),
        ("DELETE", "/other", 404),
    ],
)
def test_there_is_one_thing_to_get(endpoint: Endpoint, method: str, path: str, status: int) -> None:
    """And nothing to change."""
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    connection.request(method, path, body=b"{}" if method == "POST" else None)
    response = connection.getresponse()
    assert response.status == status
    response.read()
    connection.close()
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert response.getheader("Connection") == "close"


@pytest.mark.parametrize("request_", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\x00 \r\n\r\n", b"GET  \r\n \r\n\r\n"])
def test_nonsense_is_answered_too(endpoint: Endpoint, request_: bytes) -> None:
    """And whoever comes next."""
    with connect(endpoint) as connection:
        connection.sendall(request_)
        assert said(connection).startswith(b"HTTP/1.1 40")
    assert count_at(endpoint.port) == 5


def test_a_request_may_come_in_pieces(endpoint: Endpoint) -> None:
    """TCP promises nothing else."""
    with connect(endpoint) as connection:
        for piece in (b"GET /met", b"rics HTTP/1.1\r\nHost: x\r\n", b"\r\n"):
            connection.sendall(piece)
        assert said(connection).endswith(b"\r\n\r\ntrain_steps_total 5\n")


def test_a_request_without_end_is_cut_off(endpoint: Endpoint) -> None:
    """It gets no answer and no memory."""
    with connect(endpoint) as connection:
        try:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * REQUEST_BYTES)
            assert said(connection) == b""
        except ConnectionError:
            pass  # it was cut off while it was still speaking
    assert count_at(endpoint.port) == 5


def test_the_silent_keep_nobody_waiting(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for nothing themselves: a newer one takes the place of the oldest."""
    monkeypatch.setattr(module, "REQUEST_WITHIN_S", 3600.0)
    silent = [connect(endpoint) for _ in range(CONNECTIONS + 3)]
    assert count_at(endpoint.port) == 5
    assert [said(one) for one in silent[:4]] == [b""] * 4
    assert eventually(lambda: len(endpoint._requests) < CONNECTIONS)
    for one in silent:
        one.close()


def test_the_silent_are_shown_out(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, though nobody else comes."""
    monkeypatch.setattr(module, "REQUEST_WITHIN_S", 0.05)
    with connect(endpoint) as connection:
        connection.sendall(b"GET")
        assert said(connection) == b""


def test_those_who_leave_are_forgotten(endpoint: Endpoint) -> None:
    """With or without a farewell."""
    for linger in (False, True):
        connection = connect(endpoint)
        connection.sendall(b"GET ")
        if linger:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closed by a reset
        connection.close()
    assert count_at(endpoint.port) == 5
    assert eventually(lambda: not endpoint._requests)


def test_it_closes_under_open_connections(endpoint: Endpoint) -> None:
    """The training does not wait for who asks."""
    with connect(endpoint) as connection:
        assert count_at(endpoint.port) == 5
        endpoint.close()
        assert said(connection) == b""
    assert count_at(endpoint.port) is None
    endpoint.close()


def test_whoever_asks_without_end_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each answer there is a pause, which is the training's."""
    pauses: list[tuple[str, float]] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: pauses.append((threading.current_thread().name, seconds)))
    endpoint = Endpoint(0, lambda: "train_steps_total 5\n")
    for _ in range(10):
        assert count_at(endpoint.port) == 5
    endpoint.close()
    assert pauses == [("carbonzeus", module.PAUSE_S)] * 10


def test_a_process_without_descriptors_goes_on(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who could not be let in is let in later."""
    accept, failures = socket.socket.accept, iter([1, 2, 3])

    def scarce(listener: socket.socket) -> tuple[socket.socket, object]:
        if next(failures, None):
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", scarce)
    assert count_at(endpoint.port) == 5
    assert next(failures, None) is None
