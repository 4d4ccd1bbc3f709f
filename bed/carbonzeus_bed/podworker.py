"""One pod of carbonzeus as real processes: started, probed, restarted, stopped as a kubelet would."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from carbonzeus_bed import containers, kubeconfig
from carbonzeus_bed.api import ApiError, Object
from carbonzeus_bed.containers import NotStartable
from carbonzeus_bed.gpus import NODE_VARIABLE
from carbonzeus_bed.podprocesses import hold_file, process_name
from carbonzeus_bed.probes import watch_probe
from carbonzeus_bed.processes import Processes
from carbonzeus_bed.volumes import TOKEN_DIR, Volumes
from carbonzeus_bed.watching import STRATEGIC_MERGE, AsyncApi

LOG = logging.getLogger(__name__)

REFRESH_S = 1.0
HELD_S = 0.1
# The kubelet's back-off (at once, then 10 s doubling to 300 s, forgotten after 600 s), ten times as fast.
FIRST_BACKOFF_S, LONGEST_BACKOFF_S, FORGET_BACKOFF_S = 1.0, 30.0, 60.0

UNREACHABLE = (ApiError, aiohttp.ClientError, OSError, TimeoutError)


@dataclass(slots=True)
class ContainerState:
    """What the pod's status says of one container."""

    running_since: dt.datetime | None = None
    ready: bool = False
    restarts: int = 0
    exit_code: int | None = None
    waiting: str = "ContainerCreating"


class PodWorker:
    """Runs one pod until it is told to stop, or its containers end for good."""

    def __init__(self, api: AsyncApi, processes: Processes, pod: Object, *, root: Path, lib_dir: Path) -> None:
        meta, node = pod["metadata"], pod["spec"]["nodeName"]
        self.pod = pod
        self._api = api
        self._processes = processes
        self._namespace: str = meta["namespace"]
        self._name: str = meta["name"]
        self._dir = root / "pods" / f"{self._namespace}_{self._name}"
        self._node_dir = root / "nodes" / node
        self._hold = hold_file(root, self._namespace, self._name)
        self._lib_dir = lib_dir
        self._volumes = Volumes(api, pod, self._dir, self._node_dir)
        self._states = {container["name"]: ContainerState() for container in pod["spec"]["containers"]}
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"pod {self._namespace}/{self._name}")

    async def stop(self, grace_s: float, *, delete: bool) -> None:
        """End the processes, and then the Pod object if asked to."""
        self._stopping.set()
        names = [self._process(container) for container in self.pod["spec"]["containers"]]
        await asyncio.to_thread(self._processes.stop, names, grace_s)
        await self._task
        self._hold.unlink(missing_ok=True)
        if delete:
            await delete_pod(self._api, self.pod)

    async def _run(self) -> None:
        background = [asyncio.create_task(self._report()), asyncio.create_task(self._refresh())]
        try:
            await asyncio.gather(*(self._keep(container) for container in self.pod["spec"]["containers"]))
            if not self._stopping.is_set():
                await self._patch_status()
        except Exception:
            LOG.exception("pod %s/%s", self._namespace, self._name)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    async def _keep(self, container: Object) -> None:
        """Start a container's process, again after each end, as the restart policy says."""
        state = self._states[container["name"]]
        name, backoff_s = self._process(container), 0.0
        policy = self.pod["spec"].get("restartPolicy", "Always")
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            if self._hold.exists():
                await self._pause(HELD_S)
                continue
            try:
                await self._start(container, name)
            except (NotStartable, *UNREACHABLE) as reason:
                LOG.warning("%s cannot start: %s", name, reason or type(reason).__name__)
                state.waiting = "CreateContainerConfigError"
                self._changed.set()
                await self._pause(REFRESH_S)
                continue
            began = clock()
            state.running_since, state.exit_code = dt.datetime.now(dt.UTC), None
            self._changed.set()
            probing = asyncio.create_task(self._probe(container, state))
            await self._ended(name)
            probing.cancel()
            state.exit_code = self._processes.exit_code(name)
            state.running_since, state.ready, state.waiting = None, False, "CrashLoopBackOff"
            self._changed.set()
            LOG.info("%s ended with %s", name, state.exit_code)
            if policy == "Never" or (policy == "OnFailure" and state.exit_code == 0):
                return
            if clock() - began > FORGET_BACKOFF_S:
                backoff_s = 0.0
            state.restarts += 1
            if self._hold.exists():
                continue  # who holds it says when it starts again
            await self._pause(backoff_s)
            backoff_s = min(max(2 * backoff_s, FIRST_BACKOFF_S), LONGEST_BACKOFF_S)

    async def _start(self, container: Object, name: str) -> None:
        await self._volumes.prepare()
        mounts = self._volumes.mounts(container)
        variables = containers.environment(self.pod, container, await self._volumes.sources(), mounts)
        line = containers.command(self.pod, container, variables, mounts)
        if self._stopping.is_set():
            return
        env = self._base_environment(mounts) | variables | self._driver(variables)
        record = self._processes.start(name, line, env=env)
        LOG.info("%s started, process %d", name, record.pid)

    def _base_environment(self, mounts: containers.Mounts) -> dict[str, str]:
        """What a container has without asking: image defaults and the account's credentials."""
        home, scratch = self._dir / "home", Path(mounts.local("/tmp"))  # noqa: S108 (a path in the container)
        home.mkdir(parents=True, exist_ok=True)
        variables = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "HOSTNAME": self._name,
            "TMPDIR": str(scratch),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }
        if TOKEN_DIR in mounts.folders:
            account = mounts.folders[TOKEN_DIR]
            variables["KUBECONFIG"] = str(
                kubeconfig.write(
                    self._dir / "kubeconfig",
                    server=self._api.server,
                    ca=(account / "ca.crt").read_text(encoding="utf-8"),
                    token_file=account / "token",
                    namespace=self._namespace,
                )
            )
        return variables

    def _driver(self, variables: Mapping[str, str]) -> dict[str, str]:
        """What NVIDIA's container runtime brings in when it is asked to by its variable: the driver's library."""
        if variables.get("NVIDIA_VISIBLE_DEVICES", "void") == "void":
            return {}
        return {"LD_LIBRARY_PATH": str(self._lib_dir), NODE_VARIABLE: str(self._node_dir)}

    async def _probe(self, container: Object, state: ContainerState) -> None:
        async def readiness() -> None:
            if "readinessProbe" not in container:
                state.ready = True
                self._changed.set()
                return
            async for ready in watch_probe(container["readinessProbe"], container, self.pod["status"]["podIP"]):
                if state.ready != ready:
                    state.ready = ready
                    self._changed.set()

        async def liveness() -> None:
            if "livenessProbe" not in container:
                return
            async for alive in watch_probe(container["livenessProbe"], container, self.pod["status"]["podIP"]):
                if not alive:
                    LOG.warning("%s fails its liveness probe", self._process(container))
                    self._processes.signal(self._process(container), signal.SIGKILL)

        await asyncio.gather(readiness(), liveness())

    async def _ended(self, name: str) -> None:
        """Wait for the end of a process of ours."""
        record = self._processes.record(name)
        if record is None:
            return
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            handle = os.pidfd_open(record.pid)
        except ProcessLookupError:
            return
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            with contextlib.suppress(NotStartable, *UNREACHABLE):
                await self._volumes.prepare()

    async def _report(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._patch_status()
            except UNREACHABLE as error:
                LOG.warning("status of %s/%s: %s", self._namespace, self._name, error or type(error).__name__)
                self._changed.set()
                await asyncio.sleep(REFRESH_S)

    async def _patch_status(self) -> None:
        images = {container["name"]: container["image"] for container in self.pod["spec"]["containers"]}
        ready = "True" if all(state.ready for state in self._states.values()) else "False"
        now = _text(dt.datetime.now(dt.UTC))
        status: Object = {
            "conditions": [
                {"type": kind, "status": ready, "lastTransitionTime": now} for kind in ("ContainersReady", "Ready")
            ],
            "containerStatuses": [
                {
                    "name": name,
                    "image": images[name],
                    "imageID": "",
                    "ready": state.ready,
                    "started": state.running_since is not None,
                    "restartCount": state.restarts,
                    "state": _container_state(state, ended=self._ended_for_good(state)),
                }
                for name, state in self._states.items()
            ],
        }
        if all(self._ended_for_good(state) for state in self._states.values()):
            status["phase"] = "Succeeded" if all(state.exit_code == 0 for state in self._states.values()) else "Failed"
        await self._api.call("PATCH", f"{pod_path(self.pod)}/status", {"status": status}, content_type=STRATEGIC_MERGE)

    def _ended_for_good(self, state: ContainerState) -> bool:
        policy = self.pod["spec"].get("restartPolicy", "Always")
        return state.exit_code is not None and (policy == "Never" or (policy == "OnFailure" and state.exit_code == 0))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _process(self, container: Object) -> str:
        return process_name(self._namespace, self._name, container["name"])


def pod_path(pod: Object) -> str:
    """The path of a Pod object in the API."""
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


async def delete_pod(api: AsyncApi, pod: Object) -> None:
    """Remove a Pod object whose processes are gone, as a kubelet does at the end; tries until the API answers."""
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
    while True:
        try:
            await api.call("DELETE", pod_path(pod), options)
        except UNREACHABLE as error:
            if isinstance(error, ApiError) and error.status in {404, 409}:
                return
            await asyncio.sleep(REFRESH_S)
        else:
            return


def _container_state(state: ContainerState, *, ended: bool) -> Object:
    # A strategic merge keeps the keys it is not told of, and a container has exactly one state.
    if state.running_since is not None:
        return {"running": {"startedAt": _text(state.running_since)}, "waiting": None, "terminated": None}
    if ended:
        reason = "Completed" if state.exit_code == 0 else "Error"
        return {"terminated": {"exitCode": state.exit_code, "reason": reason}, "waiting": None, "running": None}
    return {"waiting": {"reason": state.waiting}, "running": None, "terminated": None}


def _text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
