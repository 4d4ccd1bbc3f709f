"""The emulated kubelet of each node: which pod holds which GPU, and the PodResources v1 socket that says so.

Like the real one it lists the active pods of the node, with one entry for each device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import grpc  # type: ignore[import-untyped]

from carbonzeus_bed import podresources_pb2 as wire
from carbonzeus_bed.pods import GPU_RESOURCE, Pod

SOCKET = "pod-resources/kubelet.sock"
"""Below a node's folder."""
STOPPED = "kubelet.stopped"
"""While a file of this name lies in a node's folder, its kubelet is down and its socket is gone."""


class Devices:
    """The device plugin of one node: hands out the lowest free device ids, and takes back what finished pods held."""

    def __init__(self, uuids: list[str], replicas: int = 1) -> None:
        """`replicas` above 1: time slicing, so many pods may share a GPU, and ids say which slice (`UUID::0`)."""
        self.ids = uuids if replicas == 1 else [f"{uuid}::{slice_}" for slice_ in range(replicas) for uuid in uuids]
        self._held: dict[str, dict[str, list[str]]] = {}
        self._pods: dict[str, Pod] = {}

    @property
    def pods(self) -> list[Pod]:
        """The active pods of the node."""
        return list(self._pods.values())

    def update(self, pods: Iterable[Pod]) -> None:
        """The pods bound to this node as they are now. A pod that finds too little left gets nothing."""
        self._pods = {pod.uid: pod for pod in pods if not pod.finished}
        for uid in self._held.keys() - self._pods.keys():
            del self._held[uid]
        for pod in self._pods.values():
            if pod.uid not in self._held and pod.gpus <= len(free := self._free()):
                self._held[pod.uid] = {name: [free.pop(0) for _ in range(gpus)] for name, gpus in pod.containers}

    def held(self, pod: Pod, container: str) -> list[str]:
        """The device ids of one container."""
        return self._held.get(pod.uid, {}).get(container, [])

    def uuids(self, pod: Pod) -> list[str]:
        """The GPUs of a pod."""
        return [device.split("::")[0] for name, _ in pod.containers for device in self.held(pod, name)]

    def _free(self) -> list[str]:
        taken = {device for containers in self._held.values() for ids in containers.values() for device in ids}
        return [device for device in self.ids if device not in taken]


class Kubelet:
    """Serves the PodResources API of one node on a unix socket."""

    def __init__(self, devices: Devices, socket: Path) -> None:
        self._devices = devices
        self._socket = socket
        self._server: grpc.aio.Server | None = None

    @property
    def serving(self) -> bool:
        return self._server is not None

    async def start(self) -> None:
        """Listens; a socket file that a killed kubelet left is replaced."""
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "v1.PodResourcesLister",
                    {
                        "List": _unary(self._list, wire.ListRequest, wire.ListResponse),
                        "Get": _unary(self._get, wire.GetRequest, wire.GetResponse),
                        "GetAllocatableResources": _unary(
                            self._allocatable, wire.AllocatableRequest, wire.AllocatableResponse
                        ),
                    },
                ),
            )
        )
        server.add_insecure_port(f"unix:{_short(self._socket)}")
        await server.start()
        self._server = server

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
            self._socket.unlink(missing_ok=True)

    async def _list(self, _: wire.ListRequest, __: grpc.aio.ServicerContext) -> wire.ListResponse:
        return wire.ListResponse(pod_resources=[self._resources(pod) for pod in self._devices.pods])

    async def _get(self, request: wire.GetRequest, context: grpc.aio.ServicerContext) -> wire.GetResponse:
        wanted = f"{request.pod_namespace}/{request.pod_name}"
        found = [self._resources(pod) for pod in self._devices.pods if pod.full_name == wanted]
        if not found:
            message = f"pod {request.pod_name} in namespace {request.pod_namespace} not found"
            await context.abort(grpc.StatusCode.UNKNOWN, message)
        return wire.GetResponse(pod_resources=found[0])

    async def _allocatable(self, _: wire.AllocatableRequest, __: grpc.aio.ServicerContext) -> wire.AllocatableResponse:
        return wire.AllocatableResponse(devices=_devices(self._devices.ids))

    def _resources(self, pod: Pod) -> wire.PodResources:
        return wire.PodResources(
            name=pod.name,
            namespace=pod.namespace,
            containers=[
                wire.ContainerResources(name=name, devices=_devices(self._devices.held(pod, name)))
                for name, _ in pod.containers
            ],
        )


def _devices(ids: list[str]) -> list[wire.ContainerDevices]:
    topology = wire.TopologyInfo(nodes=[wire.NUMANode(ID=0)])
    return [wire.ContainerDevices(resource_name=GPU_RESOURCE, device_ids=[id_], topology=topology) for id_ in ids]


def _unary(method: Callable[..., object], request: type, response: type) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(
        method,
        request_deserializer=request.FromString,  # type: ignore[attr-defined]
        response_serializer=response.SerializeToString,  # type: ignore[attr-defined]
    )


def _short(path: Path) -> str:
    """The shorter of a path's two names: unix sockets have 107 characters, and a bed may lie deep."""
    return min(os.path.relpath(path), str(path.absolute()), key=len)
