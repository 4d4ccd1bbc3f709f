"""Emulated nodes, and the real pynvml in a process of its own that calls their library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carbonzeus_bed.gpus import NODE_VARIABLE, Node, build_library

SHARED_DATA = Path(__file__).parents[4] / "shared" / "data"

SERVER = """
import json, sys
import pynvml

def handle(device):
    by_index = isinstance(device, int)
    return (pynvml.nvmlDeviceGetHandleByIndex if by_index else pynvml.nvmlDeviceGetHandleByUUID)(device)

def plain(value):
    if hasattr(value, "_fields_"):
        return {name: plain(getattr(value, name)) for name, *_ in value._fields_}
    return value if isinstance(value, (int, float, str, list, type(None))) else value.decode()

handles = {}
for line in sys.stdin:
    name, device, arguments = json.loads(line)
    try:
        if device is not None:
            if device not in handles:
                handles[device] = handle(device)
            arguments = [handles[device], *arguments]
        reply = {"value": plain(getattr(pynvml, name)(*arguments))}
    except pynvml.NVMLError as error:
        reply = {"error": error.value, "message": str(error)}
    print(json.dumps(reply), flush=True)
"""


class Nvml:
    """pynvml in another process, as an agent loads it. A device is an NVML index or a UUID; its handle is kept."""

    def __init__(self, node: Path, lib_dir: Path, *, initialise: bool = True) -> None:
        environment = {**os.environ, "LD_LIBRARY_PATH": str(lib_dir), NODE_VARIABLE: str(node)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if initialise:
            self.call("nvmlInit")

    def ask(self, name: str, device: int | str | None = None, *arguments: object) -> None:
        """Sends a call without waiting for its answer."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([name, device, arguments]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout
        reply = json.loads(self.process.stdout.readline())
        assert "error" not in reply, reply
        return reply["value"]

    def call(self, name: str, device: int | str | None = None, *arguments: object) -> Any:
        self.ask(name, device, *arguments)
        return self.answer()

    def code(self, name: str, device: int | str | None = None, *arguments: object) -> int:
        """The NVML error of a call; 0 when it went well."""
        assert self.process.stdout
        self.ask(name, device, *arguments)
        return int(json.loads(self.process.stdout.readline()).get("error", 0))

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="session")
def lib_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where libnvidia-ml.so.1 lies, compiled from the sources."""
    return build_library(tmp_path_factory.mktemp("lib")).parent


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Three A40."""
    with Node.create(tmp_path / "gpu-a", "NVIDIA A40", 3) as node:
        yield node


@pytest.fixture
def connect(node: Node, lib_dir: Path) -> Iterator[Callable[..., Nvml]]:
    """Starts a process with pynvml, on `node` unless told otherwise."""
    clients: list[Nvml] = []

    def start(*, folder: Path = node.folder, initialise: bool = True) -> Nvml:
        clients.append(Nvml(folder, lib_dir, initialise=initialise))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def nvml(connect: Callable[..., Nvml]) -> Nvml:
    """One such process."""
    return connect()
