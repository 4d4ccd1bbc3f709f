"""The emulator as a process, with an API server that the test plays."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc  # type: ignore[import-untyped]
import pytest
from aiohttp import web

from carbonzeus_bed import kubeconfig
from carbonzeus_bed import podresources_pb2 as wire
from carbonzeus_bed.certs import Authority
from carbonzeus_bed.gpus import Node, gpu_uuid
from carbonzeus_bed.truth import Truth

ADDRESS = "127.0.0.1"
POD_IP = f"127.31.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
"""Of this run alone: another may be under way on the same machine."""
METRICS = f"http://{POD_IP}:9100/metrics"


def worker(phase: str = "Running", *, steps: str | None = None) -> dict[str, Any]:
    """The only worker of a job, on two GPUs."""
    return {
        "metadata": {
            "uid": "worker-uid",
            "namespace": "team",
            "name": "train-worker-0",
            "labels": {"training.kubeflow.org/job-name": "train"},
            "annotations": {"bed.carbonzeus.dev/steps": steps} if steps else {},
            "ownerReferences": [{"kind": "PyTorchJob", "uid": "job-uid", "controller": True}],
        },
        "spec": {
            "nodeName": "gpu-a",
            "containers": [{"name": "pytorch", "resources": {"limits": {"nvidia.com/gpu": "2"}}}],
        },
        "status": {
            "phase": phase,
            "podIP": POD_IP,
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "pytorch", "state": {"running": {"startedAt": "2026-11-24T12:00:00Z"}}}],
        },
    }


class FakeApi:
    """As much of an API server as the emulator needs: pods listed, watched and patched, over TLS."""

    def __init__(self, folder: Path) -> None:
        authority = Authority("test")
        self._pair = authority.server("test", [ADDRESS])
        self._folder = folder
        self._authority = authority
        self._runner: web.ServerRunner | None = None
        self._watchers: list[asyncio.Queue[dict[str, Any]]] = []
        self._history: list[dict[str, Any]] = []
        """All events: a watch begins after the version of its list, so that nothing falls in between."""
        self.port = 0
        self.pods: dict[str, dict[str, Any]] = {}
        self.patches: list[dict[str, Any]] = []

    def write_kubeconfig(self) -> None:
        server, user = f"https://{ADDRESS}:{self.port}", self._authority.client("admin")
        kubeconfig.write(self._folder / "kubeconfig", server=server, ca=self._authority.pair.cert, user=user)

    async def start(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        pem = self._folder / "server.pem"
        pem.write_text(self._pair.cert + self._pair.key)
        context.load_cert_chain(pem)
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, ADDRESS, self.port, ssl_context=context, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self._watchers.clear()

    def put(self, pod: dict[str, Any]) -> None:
        kind = "MODIFIED" if pod["metadata"]["name"] in self.pods else "ADDED"
        self.pods[pod["metadata"]["name"]] = pod
        self._tell({"type": kind, "object": pod})

    def delete(self, name: str) -> None:
        pod = self.pods.pop(name)
        self._tell({"type": "DELETED", "object": pod})

    def _tell(self, event: dict[str, Any]) -> None:
        self._history.append(event)
        for watcher in self._watchers:
            watcher.put_nowait(event)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PATCH":
            patch = await request.json()
            self.patches.append({"path": request.path, **patch})
            pod = self.pods[request.path.split("/")[-2]]
            self.put({**pod, "status": {**pod["status"], **patch["status"]}})
            return web.json_response(pod)
        if request.path != "/api/v1/pods":
            return web.json_response(self.pods[request.path.split("/")[-1]])
        if "watch" not in request.query:
            return web.json_response(
                {"metadata": {"resourceVersion": str(len(self._history))}, "items": list(self.pods.values())}
            )
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for event in self._history[int(request.query["resourceVersion"]) :]:
            events.put_nowait(event)
        self._watchers.append(events)
        stream = web.StreamResponse()
        await stream.prepare(request)
        while True:
            await stream.write(json.dumps(await events.get()).encode() + b"\n")


class Running:
    """A bed's folder with an emulator process on it."""

    def __init__(self, folder: Path, api: FakeApi, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.api = api
        self.process = process
        self.http = aiohttp.ClientSession()

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Waits for something that the emulator will do; a test that waits in vain says so after a minute."""
        async with asyncio.timeout(60):
            while not await condition():
                assert self.process.returncode is None, "the emulator has ended"
                await asyncio.sleep(0.02)

    async def stop(self) -> int:
        """Ends it by SIGTERM; its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(20):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise

    async def metrics(self) -> dict[str, int] | None:
        """What the worker serves; None while it does not."""
        try:
            async with self.http.get(METRICS) as reply:
                lines = (await reply.text()).splitlines()
        except aiohttp.ClientConnectionError:
            return None
        return {name: int(value) for name, value in (line.split() for line in lines if not line.startswith("#"))}

    async def trains(self) -> bool:
        return (await self.metrics() or {}).get("train_steps_total", 0) > 0

    async def devices(self) -> dict[str, list[str]] | None:
        """What the kubelet of gpu-a says; None while its socket is gone."""
        socket = self.folder / "nodes" / "gpu-a" / "pod-resources" / "kubelet.sock"
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            call = channel.unary_unary(
                "/v1.PodResourcesLister/List",
                request_serializer=wire.ListRequest.SerializeToString,
                response_deserializer=wire.ListResponse.FromString,
            )
            try:
                reply = await call(wire.ListRequest(), timeout=5)
            except grpc.aio.AioRpcError:
                return None
        return {
            f"{pod.namespace}/{pod.name}": [device.device_ids[0] for each in pod.containers for device in each.devices]
            for pod in reply.pod_resources
        }

    def truth(self) -> Truth:
        return Truth.read(self.folder / "truth")


@pytest.fixture
async def bed(tmp_path: Path, lib_dir: Path) -> AsyncIterator[Running]:
    """An emulator for one node with four A40 that knows no pod yet."""
    api = FakeApi(tmp_path)
    await api.start()
    api.write_kubeconfig()
    config = {
        "nodes": [{"name": "gpu-a", "gpus": 4, "product": "NVIDIA A40"}],
        "seed": 1,
        "noise": 0.0,
        "kubeconfig": "kubeconfig",
        "lib_dir": str(lib_dir),
    }
    (tmp_path / "emulator.json").write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "carbonzeus_bed.emulator", "--dir", str(tmp_path)
    )
    running = Running(tmp_path, api, process)

    async def ready() -> bool:
        return (tmp_path / "emulator.ready").exists()

    await running.until(ready)
    yield running
    await running.http.close()
    await running.stop()
    await api.stop()


async def test_pod_gets_gpus_an_endpoint_and_steps(bed: Running) -> None:
    """A worker that is scheduled holds the first two GPUs, serves its counter and draws power; once it is gone, all of that ends."""
    bed.api.put(worker())
    await bed.until(bed.trains)
    uuids = [gpu_uuid("gpu-a", 0), gpu_uuid("gpu-a", 1)]
    assert await bed.devices() == {"team/train-worker-0": uuids}
    with Node(bed.folder / "nodes" / "gpu-a") as node:
        assert [round(gpu.power_mw / 1000) for gpu in node] == [244, 244, 30, 30]

    bed.api.delete("train-worker-0")

    async def gone() -> bool:
        return await bed.metrics() is None and await bed.devices() == {}

    await bed.until(gone)
    truth = bed.truth()
    assert {stretch.uuid for stretch in truth.select(pod="team/train-worker-0")} == set(uuids)
    assert truth.progress["team/train"][-1].running is False


async def test_complete_job_has_its_pods_end_well(bed: Running) -> None:
    """At its last step the containers end with code 0, and the GPUs are free."""
    bed.api.put(worker(steps="50"))

    async def ended() -> bool:
        return bool(bed.api.patches) and await bed.devices() == {}

    await bed.until(ended)
    (patch,) = bed.api.patches
    assert patch["path"] == "/api/v1/namespaces/team/pods/train-worker-0/status"
    assert patch["metadata"] == {"uid": "worker-uid"}
    assert patch["status"]["phase"] == "Succeeded"
    assert patch["status"]["conditions"][0]["status"] == "False"
    (container,) = patch["status"]["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 0
    assert bed.truth().progress["team/train"][-1].steps == 50


async def test_training_goes_on_while_the_api_server_is_away(bed: Running) -> None:
    """What was seen last stands; after the return, what changed meanwhile is taken over, and news are followed again."""
    bed.api.put(worker())
    await bed.until(bed.trains)
    await bed.api.stop()
    before = (await bed.metrics() or {})["train_steps_total"]

    async def further() -> bool:
        return (await bed.metrics() or {}).get("train_steps_total", 0) > before + 20

    await bed.until(further)
    bed.api.delete("train-worker-0")
    await bed.api.start()

    async def noticed() -> bool:
        return await bed.devices() == {}

    await bed.until(noticed)
    bed.api.put(worker())
    await bed.until(further)


async def test_kubelet_goes_down_and_comes_back(bed: Running) -> None:
    """The file `kubelet.stopped` takes the socket away; the pods keep their GPUs."""
    bed.api.put(worker())
    await bed.until(bed.trains)
    held = await bed.devices()
    switch = bed.folder / "nodes" / "gpu-a" / "kubelet.stopped"
    switch.touch()

    async def down() -> bool:
        return await bed.devices() is None

    await bed.until(down)
    switch.unlink()

    async def back() -> bool:
        return await bed.devices() == held

    await bed.until(back)


async def test_sigterm_leaves_boards_and_truth_and_nothing_else(bed: Running) -> None:
    """No socket, no ready file; exit code 0."""
    assert await bed.stop() == 0
    assert not (bed.folder / "emulator.ready").exists()
    assert not list((bed.folder / "nodes" / "gpu-a" / "pod-resources").iterdir())
    assert len(bed.truth().uuids) == 4
