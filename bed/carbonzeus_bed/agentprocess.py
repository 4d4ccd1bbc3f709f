"""The real node agent as a process on a stage, and a client for it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from carbonzeus_bed.gpus import NODE_VARIABLE
from carbonzeus_bed.identities import NAMESPACE, Identities
from carbonzeus_bed.stage import PATIENCE_S, Stage, eventually
from carbonzeus_wire import EnergyPage, EnergyRecord, NodeState, PlanReply, agent_name


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for it in sockets:
            it.bind(("127.0.0.1", 0))
        return [it.getsockname()[1] for it in sockets]
    finally:
        for it in sockets:
            it.close()


class AgentConnection(http.client.HTTPConnection):
    """One connection to an agent's API, with the operator's certificate or another."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext, *, namespace: str = NAMESPACE) -> None:
        super().__init__(host, port, timeout=10)
        self._tls = tls
        self._name = agent_name(namespace)

    def connect(self) -> None:
        super().connect()
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


class AgentProcess:
    """`python -m carbonzeus_agent`, and a client for it."""

    def __init__(self, stage: Stage, lib_dir: Path, log: Path, **settings: str) -> None:
        self.api_port, self.health_port = free_ports(2)
        self._revision = 0
        self.log = log
        self.identities = Identities(stage.folder / "tls")
        self.tls = self.identities.client()
        self._log = log.open("a")
        self._environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(lib_dir),
            NODE_VARIABLE: str(stage.node.folder),
            "CARBONZEUS_NODE_NAME": "node",
            "CARBONZEUS_POD_IP": "127.0.0.1",
            "CARBONZEUS_NAMESPACE": NAMESPACE,
            "CARBONZEUS_TLS_DIR": str(self.identities.folder),
            "CARBONZEUS_STATE_DIR": str(stage.folder / "state"),
            "CARBONZEUS_POD_RESOURCES_SOCKET": str(stage.socket),
            "CARBONZEUS_API_PORT": str(self.api_port),
            "CARBONZEUS_HEALTH_PORT": str(self.health_port),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.launch()
        eventually(self.listens, "the agent's API listens")

    def launch(self, *prefix: str) -> None:
        """Start, and wait for nothing; `prefix` is a command that runs the agent's."""
        command = [*prefix, sys.executable, "-m", "carbonzeus_agent"]
        self.process = subprocess.Popen(command, env=self._environment, stderr=self._log)

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
        plain = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=10)
        connection = plain if health else AgentConnection("127.0.0.1", self.api_port, self.tls)
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

    def push(
        self,
        *plans: dict[str, Any],
        lease_s: float = 60,
        fence: tuple[int, int] | None = None,
        sent_at: datetime | None = None,
    ) -> PlanReply:
        """PUT these plans with the next fence."""
        self._revision += 1
        term, revision = fence or (1, self._revision)
        request = {"fence": {"term": term, "revision": revision}, "leaseSeconds": lease_s, "plans": plans}
        if sent_at is not None:
            request["sentAt"] = sent_at.isoformat()
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

    def listens(self) -> bool:
        """Whether its API answers."""
        assert self.process is not None
        assert self.process.poll() is None, "the agent has ended"
        try:
            return self.ask("GET", "/v1/node")[0] == 200
        except ConnectionError:
            return False
