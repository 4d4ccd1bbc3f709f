"""The kubelet's socket, against a real gRPC server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio  # type: ignore[import-untyped]
import pytest

from carbonzeus_agent.owners import Owners
from carbonzeus_agent.pod_resources import PodResources, Unanswered
from carbonzeus_agent.pod_resources_pb2 import (
    CDIDevice,
    ClaimResource,
    ContainerDevices,
    ContainerResources,
    DynamicResource,
    ListPodResourcesRequest,
    ListPodResourcesResponse,
)
from carbonzeus_agent.pod_resources_pb2 import (
    PodResources as PodMessage,
)


class FakeKubelet:
    """Answers `List` with what it is given."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.answer = ListPodResourcesResponse()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        async def listing(_: ListPodResourcesRequest, __: object) -> ListPodResourcesResponse:
            return self.answer

        handler = grpc.unary_unary_rpc_method_handler(
            listing,
            request_deserializer=ListPodResourcesRequest.FromString,
            response_serializer=ListPodResourcesResponse.SerializeToString,
        )
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": handler}),)
        )
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


@pytest.fixture
async def kubelet(tmp_path: Path) -> AsyncIterator[FakeKubelet]:
    kubelet = FakeKubelet(tmp_path / "kubelet.sock")
    yield kubelet
    await kubelet.stop()


def pod(name: str, *containers: ContainerResources) -> PodMessage:
    return PodMessage(name=name, namespace="team", containers=containers)


def plugin(*ids: str) -> ContainerResources:
    return ContainerResources(name="main", devices=[ContainerDevices(resource_name="nvidia.com/gpu", device_ids=ids)])


def claim(device: str, *cdi: str) -> ContainerResources:
    resource = ClaimResource(
        driver_name="gpu.nvidia.com", device_name=device, cdi_devices=[CDIDevice(name=name) for name in cdi]
    )
    return ContainerResources(name="main", dynamic_resources=[DynamicResource(claim_resources=[resource])])


async def test_devices_of_plugins_and_claims_are_found(kubelet: FakeKubelet) -> None:
    """By UUID from the device plugin, and from a resource claim whose device name or CDI name is one."""
    kubelet.answer = ListPodResourcesResponse(
        pod_resources=[
            pod("plugin", plugin("GPU-1"), plugin("GPU-2")),
            pod("claim", claim("gpu-0", "k8s.gpu.nvidia.com/device=GPU-3")),
            pod("claim-2", claim("GPU-4")),
            pod("web"),
        ]
    )
    await kubelet.start()
    async with PodResources(kubelet.socket) as client:
        owners = await client.owners()
    assert owners == Owners.of(
        [
            ("team/plugin", "GPU-1"),
            ("team/plugin", "GPU-2"),
            ("team/claim", "GPU-3"),
            ("team/claim-2", "GPU-4"),
        ]
    )


async def test_other_devices_are_not_gpus(kubelet: FakeKubelet) -> None:
    """Network cards and other vendors' claims are left out; a GPU under a name that is no UUID is not."""
    nic = ContainerResources(devices=[ContainerDevices(resource_name="rdma/hca", device_ids=["0000:3b:00.0"])])
    foreign = DynamicResource(claim_resources=[ClaimResource(driver_name="net.example.com", device_name="eth0")])
    kubelet.answer = ListPodResourcesResponse(
        pod_resources=[
            pod("nic", nic, ContainerResources(dynamic_resources=[foreign])),
            pod("gke", plugin("nvidia0")),
            pod("claim", claim("gpu-0", "k8s.gpu.nvidia.com/device=gpu-0")),
        ]
    )
    await kubelet.start()
    async with PodResources(kubelet.socket) as client:
        owners = await client.owners()
    assert owners == Owners.of([("team/gke", "nvidia0"), ("team/claim", "gpu-0")])


async def test_silence_is_not_an_empty_node(kubelet: FakeKubelet) -> None:
    """No socket: nothing is known. A socket without pods: nobody holds anything."""
    async with PodResources(kubelet.socket) as client:
        with pytest.raises(Unanswered, match=r"kubelet\.sock"):
            await client.owners()
        await kubelet.start()
        assert await _until_answered(client) == Owners()


async def test_restarted_kubelet_is_found_again(kubelet: FakeKubelet) -> None:
    """Its socket is a new file under the old name."""
    await kubelet.start()
    async with PodResources(kubelet.socket) as client:
        await client.owners()
        await kubelet.stop()
        with pytest.raises(Unanswered):
            await client.owners()
        kubelet.answer = ListPodResourcesResponse(pod_resources=[pod("a", plugin("GPU-1"))])
        await kubelet.start()
        assert (await _until_answered(client)).sole_owner("GPU-1") == "team/a"


async def _until_answered(client: PodResources) -> Owners:
    """The channel waits up to a second before it connects again."""
    while True:
        try:
            return await client.owners()
        except Unanswered:
            continue
