"""The whole bed: control plane, controllers, hollow GPU nodes, the training-operator, and what emulates the nodes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from carbonzeus_bed import kwok, logserver, programs, trainer
from carbonzeus_bed.api import answers, wait_until
from carbonzeus_bed.control_plane import STOP_GRACE_S, ControlPlane
from carbonzeus_bed.gpus import build_library
from carbonzeus_bed.nodes import DEFAULT_NODES, Node
from carbonzeus_bed.podprocesses import PREFIX, PodProcesses

CONTROLLER_MANAGER_PORT = 10257
SCHEDULER_PORT = 10259
READY_S = 60.0


class Cluster(ControlPlane):
    """A bed in a state folder. Another instance on the same folder sees and stops the same processes.

    `seed` and `noise` (relative) go to the emulated GPUs and training.
    """

    def __init__(
        self, state_dir: Path | str, *, nodes: Sequence[Node] = DEFAULT_NODES, seed: int = 1, noise: float = 0.01
    ) -> None:
        super().__init__(state_dir)
        self.nodes = tuple(nodes)
        self._seed = seed
        self._noise = noise

    @property
    def lib_dir(self) -> Path:
        """The folder of the emulated libnvidia-ml.so.1."""
        return self.state_dir / "lib"

    def node_dir(self, node: str) -> Path:
        """What stands for a node's own disk and devices: its emulated GPUs, its sockets, its hostPaths."""
        return self.short_dir / "nodes" / node

    def pods(self, namespace: str = "carbonzeus") -> PodProcesses:
        """The processes of carbonzeus' pods, to look at and to kill."""
        return PodProcesses(self.short_dir, namespace)

    def start_process(self, name: str) -> None:
        """Start a process of the bed that was killed."""
        if name == "kube-apiserver":
            self.resume_api_server()
            return
        record = self.processes.record(name)
        if record is None:
            raise ValueError(f"this bed never had a process {name!r}")
        self.processes.start(name, record.argv, env=self._environment_of(name))

    def _start(self) -> None:
        with ThreadPoolExecutor(max_workers=1) as pool:
            library = pool.submit(build_library, self.lib_dir)
            super()._start()
            trainer.install_kinds(self.api)
            self._start_controllers()
            self._create_nodes()
            library.result()
        self._launch("training-operator", trainer.install(self))
        self._start_emulation()
        self._wait_until_up()

    def _start_controllers(self) -> None:
        pki, ip = self.state_dir / "pki", self.block.control_plane_ip
        self._launch(
            "kube-controller-manager",
            [
                programs.program("kube-controller-manager"),
                f"--kubeconfig={pki / 'kube-controller-manager.kubeconfig'}",
                f"--bind-address={ip}",
                f"--secure-port={CONTROLLER_MANAGER_PORT}",
                f"--cert-dir={pki / 'controller-manager'}",
                f"--service-account-private-key-file={pki / 'sa.key'}",
                f"--root-ca-file={pki / 'ca.crt'}",
                "--leader-elect=false",
                # Endpoints may not be loopback addresses, and nothing routes to Services here.
                "--controllers=*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller",
                # A frozen API server is a test here, not a reason to evict everything.
                "--node-monitor-grace-period=5m",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
                "--profiling=false",
            ],
        )
        self._launch(
            "kube-scheduler",
            [
                programs.program("kube-scheduler"),
                f"--kubeconfig={pki / 'kube-scheduler.kubeconfig'}",
                f"--authentication-kubeconfig={pki / 'kube-scheduler.kubeconfig'}",
                f"--authorization-kubeconfig={pki / 'kube-scheduler.kubeconfig'}",
                f"--bind-address={ip}",
                f"--secure-port={SCHEDULER_PORT}",
                f"--cert-dir={pki / 'scheduler'}",
                "--leader-elect=false",
                "--profiling=false",
            ],
        )
        self._launch(
            "kwok",
            kwok.arguments(
                kubeconfig=pki / "kwok.kubeconfig", config_dir=self.state_dir / "kwok", pod_cidr=self.block.pod_cidr
            ),
        )

    def _create_nodes(self) -> None:
        for index, node in enumerate(self.nodes):
            manifest = node.manifest(
                self.block.node_ip(index), kubelet_ip=self.block.control_plane_ip, kubelet_port=logserver.PORT
            )
            self.api.create("/api/v1/nodes", manifest)
            (self.state_dir / "nodes" / node.name).mkdir(parents=True)

    def _start_emulation(self) -> None:
        config = {
            "nodes": [
                {"name": node.name, "gpus": node.gpus, "product": node.product} for node in self.nodes if node.gpus
            ],
            "seed": self._seed,
            "noise": self._noise,
            "lib_dir": str(self.lib_dir),
            "kubeconfig": str(self.kubeconfig),
        }
        (self.state_dir / "emulator.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        here, ip = f"--dir={self.short_dir}", self.block.control_plane_ip
        runner = ["-m", "carbonzeus_bed.podrunner", here, f"--lib-dir={self.lib_dir}", f"--kubelet-ip={ip}"]
        self._launch("emulator", [sys.executable, "-m", "carbonzeus_bed.emulator", here])
        self._launch("podrunner", [sys.executable, *runner])

    def _launch(self, name: str, argv: Sequence[str | Path]) -> None:
        self.processes.start(name, argv, env=self._environment_of(name))

    def _environment_of(self, name: str) -> dict[str, str]:
        variables = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.state_dir / "tools")}
        if name == "training-operator":
            variables["MY_POD_NAMESPACE"] = trainer.NAMESPACE
        return variables

    def _wait_until_up(self) -> None:
        self._wait_for("kube-controller-manager", self._has_default_account)
        self._wait_for("kwok", self._nodes_are_ready)
        ip = self.block.control_plane_ip
        for name, url in {
            "kube-scheduler": f"https://{ip}:{SCHEDULER_PORT}/readyz",
            "training-operator": f"http://{ip}:{trainer.HEALTH_PORT}/readyz",
        }.items():
            self._wait_for(name, partial(answers, url))
        self._wait_for("emulator", (self.state_dir / "emulator.ready").exists)

    def _wait_for(self, name: str, up: Callable[[], bool]) -> None:
        def ready() -> bool:
            if not self.processes.alive(name):
                raise self.processes.failure(name, "ended before it was ready")
            return up()

        if not wait_until(ready, READY_S):
            raise self.processes.failure(name, f"was not ready after {READY_S:.0f} s")

    def _has_default_account(self) -> bool:
        return bool(self.api.get("/api/v1/namespaces/default/serviceaccounts/default"))

    def _nodes_are_ready(self) -> bool:
        nodes = self.api.get("/api/v1/nodes")["items"]
        conditions = [condition for node in nodes for condition in node["status"].get("conditions", [])]
        ready = [
            condition for condition in conditions if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        return len(ready) == len(self.nodes)

    def _stop(self) -> None:
        """First what acts on the nodes, while they are still there: agents give the GPUs their limits back."""
        names = [record.name for record in self.processes.records()]
        self.processes.stop(["podrunner"], STOP_GRACE_S)
        self.processes.stop([name for name in names if name.startswith(PREFIX)], STOP_GRACE_S)
        self.processes.stop(["emulator"], STOP_GRACE_S)
        super()._stop()

    def _remove_shared(self) -> None:
        trainer.remove_shared_files()
