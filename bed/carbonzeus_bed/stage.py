"""A node without a cluster: emulated boards to hurt, pods to place, and the truth to compare with.

For tests and benchmarks of the agent alone; `agentprocess.AgentProcess` is who plays on it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from carbonzeus_bed.gpus import Node
from carbonzeus_bed.kubelet import SOCKET
from carbonzeus_bed.truth import Truth

T = TypeVar("T")
PATIENCE_S = 20.0


def eventually(ask: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """Ask until the answer is true; fails, naming `what`, when it never is."""
    end_s = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < end_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.02)
    return answer


class Stage:
    """The emulated node: boards to hurt, pods to place, truth to compare with."""

    def __init__(self, folder: Path, product: str, count: int, replicas: int) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "carbonzeus_bed.stagehand"]
        self._process = subprocess.Popen(
            [*command, str(folder), product, str(count), str(replicas)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"
        self.node = Node(folder / "node")
        self.gpus = self.node.uuids()

    @property
    def socket(self) -> Path:
        return self.folder / "node" / SOCKET

    @staticmethod
    def pod(name: str, gpus: int = 1, *, uid: str | None = None, **more: Any) -> dict[str, Any]:
        """A training pod for `pods`."""
        return {"name": name, "uid": uid or f"uid-{name}", "gpus": gpus, "ip": "127.0.0.1", **more}

    def pods(self, *pods: dict[str, Any]) -> None:
        """These are all pods of the node from now on."""
        self._order({"pods": pods})

    def waits(self, ask: Callable[[], T], what: str) -> T:
        """Ask until the answer is true."""
        return eventually(ask, what)

    def kubelet(self, *, up: bool) -> None:
        self._order({"kubelet": up})

    def limit_w(self, gpu: int) -> float:
        return self.node.gpu(gpu).limit_mw / 1000

    def truth(self, upto: datetime) -> Truth:
        """What really happened, once the log reaches `upto`."""
        end_ns = upto.timestamp() * 1e9

        def read() -> Truth | None:
            truth = Truth.read(self.folder / "truth")
            reached = {it.uuid: it.end_ns for it in truth.stretches}
            return truth if all(reached.get(gpu, 0) >= end_ns for gpu in self.gpus) else None

        found = eventually(read, "the truth is written")
        assert found is not None
        return found

    def close(self) -> None:
        self.node.close()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=PATIENCE_S)
        self._process.stdout.close()

    def _order(self, order: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        assert self._read() == "done"

    def _read(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()
