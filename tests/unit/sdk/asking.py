"""What whoever asks the endpoint sees."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterable

from carbonzeus import Progress


def port_of(progress: Progress) -> int:
    """Where it is served."""
    return int(dict(item.split("=") for item in progress.annotation.split(","))["port"])


def count_at(port: int, host: str = "127.0.0.1") -> float | None:
    """The count, read as Prometheus would; None where nobody listens."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()
    (line,) = [line for line in text.splitlines() if not line.startswith("#")]
    name, value = line.split()
    assert name == "train_steps_total"
    return float(value)


def tells(seen: Iterable[float | None], done: Iterable[int], step: int = 1) -> bool:
    """Whether counts that were read while so many steps were done are those, and at most the next `step` besides."""
    pairs = zip(seen, done, strict=True)
    return all(count is not None and steps <= count <= steps + step for count, steps in pairs)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it comes true in the endpoint's thread, which tells its answer before it has put away everything."""
    deadline_s = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.005)
    return condition()


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
        return port
