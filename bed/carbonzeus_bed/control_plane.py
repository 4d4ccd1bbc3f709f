"""etcd and the real kube-apiserver: enough for tests of the API alone, and the ground of the whole cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Self

from carbonzeus_bed import addresses, kubeconfig, programs
from carbonzeus_bed.addresses import API_SERVER_PORT, ETCD_PORT, Block
from carbonzeus_bed.api import Api, wait_until
from carbonzeus_bed.certs import Authority, Pair, signing_pair
from carbonzeus_bed.processes import Processes

STATE_VERSION = "carbonzeus bed 1\n"
STOP_GRACE_S = 10.0
SERVERS = ("kube-apiserver", "etcd")
SERVERS_GRACE_S = 1.0
ISSUER = "https://kubernetes.default.svc"


class ControlPlane:
    """A control plane in a state folder. Another instance on the same folder sees and stops the same processes."""

    def __init__(self, state_dir: Path | str) -> None:
        self.state_dir = Path(state_dir).absolute()
        self.processes = Processes(self.state_dir)
        self._api: Api | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self.state_dir / "kubeconfig"

    @property
    def block(self) -> Block:
        """The address block of this bed; `FileNotFoundError` when it was never started."""
        return Block(**json.loads((self.state_dir / "block.json").read_text(encoding="utf-8")))

    @property
    def short_dir(self) -> Path:
        """The state folder under a name short enough for unix sockets."""
        return Path(self.block.short_dir)

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://{self.block.control_plane_ip}:{API_SERVER_PORT}"

    @property
    def api(self) -> Api:
        """The API with the admin's rights."""
        if self._api is None:
            self._api = Api(self.kubeconfig)
        return self._api

    @property
    def running(self) -> bool:
        """Whether any process of this state folder runs."""
        return any(self.processes.alive(record.name) for record in self.processes.records())

    def start(self, *, until_we_end: bool = False) -> Self:
        """Start from nothing. `until_we_end` stops everything when this Python process ends, however it ends."""
        if self.running:
            raise RuntimeError(f"a bed is already up in {self.state_dir}: stop it first (`make bed-down`)")
        self._clear()
        if until_we_end:
            self._watch_over()
        self._api = None
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop every recorded process; logs stay. Also after a crash, and when nothing runs."""
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        self._stop()
        try:
            block = self.block
        except FileNotFoundError:
            return
        addresses.release(block, last=self._remove_shared)
        (self.state_dir / "block.json").unlink()

    def __enter__(self) -> Self:
        return self.start(until_we_end=True)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pause_api_server(self) -> None:
        """Freeze the API server: connections stay open and nothing answers, until `resume_api_server`."""
        self.processes.signal("kube-apiserver", signal.SIGSTOP)

    def resume_api_server(self) -> None:
        """Let a paused API server go on, or start one that was killed; ready when this returns."""
        if not self.processes.signal("kube-apiserver", signal.SIGCONT):
            self._start_api_server()
        self._wait_ready("kube-apiserver", "/readyz")

    def kill(self, name: str) -> None:
        """SIGKILL one process of the bed; it is gone when this returns."""
        self.processes.signal(name, signal.SIGKILL)
        self.processes.wait(name, 10)

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl as the admin and return its standard output; an error raises with its message."""
        return self._run("kubectl", args, stdin)

    def helm(self, *args: str) -> str:
        """Run helm as the admin and return its standard output; an error raises with its message."""
        return self._run("helm", args, None)

    def environment(self) -> dict[str, str]:
        """An environment for tools that talk to this bed and leave nothing outside its folder."""
        tools = self.state_dir / "tools"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(tools),
            "KUBECONFIG": str(self.kubeconfig),
            "HELM_CACHE_HOME": str(tools / "helm/cache"),
            "HELM_CONFIG_HOME": str(tools / "helm/config"),
            "HELM_DATA_HOME": str(tools / "helm/data"),
        }

    def _run(self, tool: str, args: tuple[str, ...], stdin: str | None) -> str:
        done = subprocess.run(
            [str(programs.program(tool)), *args],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{tool} {' '.join(args)} ended with {done.returncode}:\n{done.stderr or done.stdout}")
        return done.stdout

    def _start(self) -> None:
        block = addresses.claim(self.state_dir)
        (self.state_dir / "block.json").write_text(json.dumps(asdict(block)) + "\n", encoding="utf-8")
        self._make_certificates(block)
        (self.state_dir / "bin").mkdir()
        for tool in ("kubectl", "helm"):
            (self.state_dir / "bin" / tool).symlink_to(programs.program(tool))
        ip = block.control_plane_ip
        self.processes.start(
            "etcd",
            [
                programs.program("etcd"),
                f"--data-dir={self.state_dir / 'etcd'}",
                f"--listen-client-urls=http://{ip}:{ETCD_PORT}",
                f"--advertise-client-urls=http://{ip}:{ETCD_PORT}",
                f"--listen-peer-urls=http://{ip}:{ETCD_PORT + 1}",
                f"--initial-advertise-peer-urls=http://{ip}:{ETCD_PORT + 1}",
                f"--initial-cluster=default=http://{ip}:{ETCD_PORT + 1}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
            env={},
        )
        self._start_api_server()
        self._wait_ready("kube-apiserver", "/readyz")

    def _start_api_server(self) -> None:
        ip, pki = self.block.control_plane_ip, self.state_dir / "pki"
        self.processes.start(
            "kube-apiserver",
            [
                programs.program("kube-apiserver"),
                f"--etcd-servers=http://{ip}:{ETCD_PORT}",
                f"--bind-address={ip}",
                f"--advertise-address={ip}",
                f"--secure-port={API_SERVER_PORT}",
                f"--tls-cert-file={pki / 'apiserver.crt'}",
                f"--tls-private-key-file={pki / 'apiserver.key'}",
                f"--client-ca-file={pki / 'ca.crt'}",
                f"--service-account-issuer={ISSUER}",
                f"--service-account-key-file={pki / 'sa.pub'}",
                f"--service-account-signing-key-file={pki / 'sa.key'}",
                f"--cert-dir={pki}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=Node,RBAC",
                "--allow-privileged=true",
                "--endpoint-reconciler-type=none",
                f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
                f"--kubelet-client-key={pki / 'kubelet-client.key'}",
                f"--kubelet-certificate-authority={pki / 'ca.crt'}",
                "--kubelet-preferred-address-types=ExternalIP",
                "--profiling=false",
            ],
            env={},
        )

    def _wait_ready(self, name: str, path: str, timeout_s: float = 60.0) -> None:
        """Wait until a path of the API answers; a process that ends before is the error."""
        api = self.api

        def ready() -> bool:
            if not self.processes.alive(name):
                raise self.processes.failure(name, "ended before it was ready")
            return bool(api.call("GET", path, timeout_s=2.0))

        if not wait_until(ready, timeout_s):
            raise self.processes.failure(name, f"was not ready after {timeout_s:.0f} s")

    def _make_certificates(self, block: Block) -> None:
        pki = self.state_dir / "pki"
        pki.mkdir(mode=0o700)
        authority = Authority("carbonzeus-bed")
        ip = block.control_plane_ip
        server = authority.server("kube-apiserver", [ip, "127.0.0.1", "localhost", "kubernetes.default.svc"])
        kubelet = authority.server("kubelet", [ip])
        kubelet_client = authority.client("kube-apiserver-kubelet-client")
        signing = signing_pair()
        for name, text in {
            "ca.crt": authority.pair.cert,
            "apiserver.crt": server.cert,
            "apiserver.key": server.key,
            "kubelet.crt": kubelet.cert,
            "kubelet.key": kubelet.key,
            "kubelet-client.crt": kubelet_client.cert,
            "kubelet-client.key": kubelet_client.key,
            "sa.pub": signing.cert,
            "sa.key": signing.key,
        }.items():
            (pki / name).write_text(text, encoding="utf-8")
        self._write_kubeconfig(self.kubeconfig, authority.client("kubernetes-admin", "system:masters"))
        # The scheduler and kwok are themselves; the controller manager stands in for all its controllers' accounts.
        self._write_kubeconfig(pki / "kube-scheduler.kubeconfig", authority.client("system:kube-scheduler"))
        self._write_kubeconfig(
            pki / "kube-controller-manager.kubeconfig",
            authority.client("system:kube-controller-manager", "system:masters"),
        )
        self._write_kubeconfig(pki / "kwok.kubeconfig", authority.client("kwok", "system:masters"))

    def _write_kubeconfig(self, path: Path, user: Pair) -> None:
        ca = (self.state_dir / "pki" / "ca.crt").read_text(encoding="utf-8")
        kubeconfig.write(path, server=self.server, ca=ca, user=user)

    def _stop(self) -> None:
        """Clients before servers. The last two write nothing that anybody reads again, so they get little time."""
        names = [record.name for record in self.processes.records()]
        self.processes.stop([name for name in names if name not in SERVERS], STOP_GRACE_S)
        self.processes.stop(SERVERS, SERVERS_GRACE_S)

    def _remove_shared(self) -> None:
        """Remove what beds of one user share, after the last of them."""

    def _watch_over(self) -> None:
        """A helper that stops this bed when the pipe to us breaks, be it by SIGKILL."""
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "carbonzeus_bed", "down", "--when-input-ends", "--dir", str(self.state_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _clear(self) -> None:
        """Empty the state folder; a folder that is not a bed's is refused."""
        marker = self.state_dir / "bed"
        if self.state_dir.exists() and any(self.state_dir.iterdir()):
            if not marker.exists() or marker.read_text(encoding="utf-8") != STATE_VERSION:
                raise RuntimeError(f"{self.state_dir} is neither empty nor a bed's state folder: choose another one")
            self.stop()
            for entry in self.state_dir.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        self.state_dir.mkdir(parents=True, exist_ok=True)
        marker.write_text(STATE_VERSION, encoding="utf-8")
