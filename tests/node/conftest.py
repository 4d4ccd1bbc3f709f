"""A node on a stage, and the real agent process on it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from carbonzeus_bed.gpus import NODE_VARIABLE, Node, build_library
from carbonzeus_bed.kubelet import SOCKET
from carbonzeus_bed.truth import Truth
from carbonzeus_wire import EnergyPage, EnergyRecord, NodeState, PlanReply

T = TypeVar("T")
PATIENCE_S = 20.0
FAST = {
    "CARBONZEUS_RECORD_SECONDS": "1",
    "CARBONZEUS_SAMPLE_SECONDS": "0.1",
    "CARBONZEUS_ENFORCE_SECONDS": "0.1",
    "CARBONZEUS_OWNER_GRACE_SECONDS": "0.5",
    "CARBONZEUS_NVML_SECONDS": "0.5",
}


def eventually(ask: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """Ask until the answer is true; fails, naming `what`, when it never is."""
    end_s = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < end_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.02)
    return answer


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for it in sockets:
            it.bind(("127.0.0.1", 0))
        return [it.getsockname()[1] for it in sockets]
    finally:
        for it in sockets:
            it.close()


class Stage:
    """The emulated node: boards to hurt, pods to place, truth to compare with."""

    def __init__(self, folder: Path, product: str, count: int, replicas: int) -> None:
        self.folder = folder
        script = Path(__file__).parent / "stage.py"
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(folder), product, str(count), str(replicas)],
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


class AgentProcess:
    """`python -m carbonzeus_agent`, and a client for it."""

    def __init__(self, stage: Stage, lib_dir: Path, log: Path, **settings: str) -> None:
        self.api_port, self.health_port = free_ports(2)
        self._revision = 0
        self._log = log.open("a")
        self._environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(lib_dir),
            NODE_VARIABLE: str(stage.node.folder),
            "CARBONZEUS_NODE_NAME": "node",
            "CARBONZEUS_POD_IP": "127.0.0.1",
            "CARBONZEUS_STATE_DIR": str(stage.folder / "state"),
            "CARBONZEUS_POD_RESOURCES_SOCKET": str(stage.socket),
            "CARBONZEUS_API_PORT": str(self.api_port),
            "CARBONZEUS_HEALTH_PORT": str(self.health_port),
            **FAST,
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "carbonzeus_agent"]
        self.process = subprocess.Popen(command, env=self._environment, stderr=self._log)
        eventually(self._listens, "the agent's API listens")

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def end(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=PATIENCE_S)
        self.process = None
        return status

    def close(self) -> None:
        if self.process is not None:
            self.kill()
        self._log.close()

    def ask(self, method: str, path: str, body: str | bytes | None = None, *, health: bool = False) -> tuple[int, str]:
        """Status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.health_port if health else self.api_port, timeout=10)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    @staticmethod
    def plan(name: str, *steps: tuple[float, float], uid: str | None = None, **more: Any) -> dict[str, Any]:
        """A plan for that pod; steps are pairs of seconds from now and limit [W]."""
        now = datetime.now(UTC)
        return {
            "podUID": uid or f"uid-{name}",
            "pod": f"team/{name}",
            "job": f"team/{name}",
            "steps": [{"at": (now + timedelta(seconds=at)).isoformat(), "limitWatts": limit} for at, limit in steps],
            **more,
        }

    def push(self, *plans: dict[str, Any], lease_s: float = 60, fence: tuple[int, int] | None = None) -> PlanReply:
        """PUT these plans with the next fence."""
        self._revision += 1
        term, revision = fence or (1, self._revision)
        request = {"fence": {"term": term, "revision": revision}, "leaseSeconds": lease_s, "plans": plans}
        status, text = self.ask("PUT", "/v1/plans", json.dumps(request))
        assert status == 200, text
        return PlanReply.model_validate_json(text)

    def node(self) -> NodeState:
        return NodeState.model_validate_json(self.ask("GET", "/v1/node")[1])

    def energy(self) -> list[EnergyRecord]:
        """All records, page by page."""
        records: list[EnergyRecord] = []
        while True:
            after = records[-1].seq if records else 0
            page = EnergyPage.model_validate_json(self.ask("GET", f"/v1/energy?after={after}&limit=50")[1])
            records += page.records
            if not page.records:
                return records

    def ready(self) -> tuple[bool, list[str]]:
        """Whether /readyz says yes, and the reasons if not."""
        status, text = self.ask("GET", "/readyz", health=True)
        return status == 200, [it["reason"] for it in json.loads(text)["reasons"]]

    def metrics(self) -> str:
        return self.ask("GET", "/metrics", health=True)[1]

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the agent has ended"
        try:
            return self.ask("GET", "/v1/node")[0] == 200
        except ConnectionError:
            return False


@pytest.fixture(scope="session")
def lib_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where libnvidia-ml.so.1 lies, compiled from the sources."""
    return build_library(tmp_path_factory.mktemp("lib")).parent


@pytest.fixture
def make_stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Sets up nodes; the product and number of GPUs are told."""
    stages: list[Stage] = []

    def make(count: int = 2, product: str = "NVIDIA A40", replicas: int = 1) -> Stage:
        stages.append(Stage(tmp_path, product, count, replicas))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """A node with two A40."""
    return make_stage()


@pytest.fixture
def make_agent(lib_dir: Path, tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Starts agents on a stage."""
    agents: list[AgentProcess] = []

    def make(stage: Stage, **settings: str) -> AgentProcess:
        agents.append(AgentProcess(stage, lib_dir, tmp_path / "agent.log", **settings))
        agents[-1].start()
        return agents[-1]

    yield make
    for agent in agents:
        agent.close()


@pytest.fixture
def agent(stage: Stage, make_agent: Callable[..., AgentProcess]) -> AgentProcess:
    """An agent on that node."""
    return make_agent(stage)
