"""The kubelet's PodResources socket: which pod holds which device. Silence is `Unanswered`, never "no pods"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc.aio  # type: ignore[import-untyped]  # grpcio ships no types

from carbonzeus_agent.owners import Owners
from carbonzeus_agent.pod_resources_pb2 import (
    ContainerResources,
    ListPodResourcesRequest,
    ListPodResourcesResponse,
)

TIMEOUT_S = 1.0
_VENDOR = "nvidia.com/"
"""Resource names: nvidia.com/gpu, nvidia.com/gpu.shared, nvidia.com/mig-1g.5gb."""
_UUIDS = ("GPU-", "MIG-")
_DRIVER = "gpu.nvidia.com"
_OPTIONS = (
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),  # the kubelet comes back within seconds; ask at that pace
    ("grpc.enable_http_proxy", 0),
)


class Unanswered(Exception):
    """The kubelet did not say who holds the GPUs: nothing is known, which is not the same as nobody."""


class PodResources:
    """A client of the socket; use as `async with`."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(f"unix://{self._socket.absolute()}", options=_OPTIONS)
        self._list = self._channel.unary_unary(
            "/v1.PodResourcesLister/List",
            request_serializer=ListPodResourcesRequest.SerializeToString,
            response_deserializer=ListPodResourcesResponse.FromString,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def owners(self) -> Owners:
        """All claims on GPUs of this node. Raises `Unanswered`."""
        try:
            response: ListPodResourcesResponse = await self._list(ListPodResourcesRequest(), timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise Unanswered(f"{self._socket}: {error.code().name}: {error.details()}") from error
        return Owners.of(
            (f"{pod.namespace}/{pod.name}", device)
            for pod in response.pod_resources
            for container in pod.containers
            for device in _devices(container)
        )


def _devices(container: ContainerResources) -> Iterator[str]:
    """Names of GPUs and parts of them, from the device plugin and from resource claims; not of network cards and the like."""
    for devices in container.devices:
        named = devices.resource_name.startswith(_VENDOR)
        yield from (name for name in devices.device_ids if named or name.startswith(_UUIDS))
    for dynamic in container.dynamic_resources:
        for claim in dynamic.claim_resources:
            if claim.driver_name.endswith(_DRIVER):
                names = [claim.device_name, *(device.name.rpartition("=")[2] for device in claim.cdi_devices)]
                # One device goes by several names; where one of them is a UUID, that is the one.
                uuids = [name for name in names if name.startswith(_UUIDS)]
                yield from uuids or names[:1]
