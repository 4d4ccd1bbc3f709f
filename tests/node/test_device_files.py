"""The real agent process on a node whose device plugin names GPUs by their files in /dev, as GKE's does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import grpc  # type: ignore[import-untyped]
import pytest

from carbonzeus_agent.pod_resources_pb2 import (
    ContainerDevices,
    ContainerResources,
    ListPodResourcesRequest,
    ListPodResourcesResponse,
    PodResources,
)

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage


class Kubelet:
    """Says what it is told, by pod."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: dict[str, list[str]] = {}
        handler = grpc.unary_unary_rpc_method_handler(
            self._list,
            request_deserializer=ListPodResourcesRequest.FromString,
            response_serializer=ListPodResourcesResponse.SerializeToString,
        )
        self.server = grpc.server(ThreadPoolExecutor(1))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": handler}),)
        )
        self.server.add_insecure_port(f"unix:{path}")
        self.server.start()

    def _list(self, _: ListPodResourcesRequest, __: object) -> ListPodResourcesResponse:
        pods = [
            PodResources(
                name=name, namespace="team", containers=[ContainerResources(name="main", devices=[_devices(ids)])]
            )
            for name, ids in self.held.items()
        ]
        return ListPodResourcesResponse(pod_resources=pods)


def _devices(ids: list[str]) -> ContainerDevices:
    return ContainerDevices(resource_name="nvidia.com/gpu", device_ids=ids)


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    """On a socket with a short name."""
    with tempfile.TemporaryDirectory() as folder:
        kubelet = Kubelet(Path(folder) / "kubelet.sock")
        yield kubelet
        kubelet.server.stop(None).wait()


@pytest.fixture
def agent(stage: Stage, kubelet: Kubelet, make_agent: Callable[..., AgentProcess]) -> AgentProcess:
    """Its boards are listed in another order than their minor numbers."""
    stage.node.reorder([1, 0])
    return make_agent(stage, CARBONZEUS_POD_RESOURCES_SOCKET=str(kubelet.path))


def test_gpu_is_found_by_its_minor_number(stage: Stage, agent: AgentProcess, kubelet: Kubelet) -> None:
    """Not by its index: the plan reaches the pod's GPU, and the neighbour's is left alone."""
    kubelet.held = {"a": ["nvidia1"], "b": ["nvidia0"]}
    [applied] = agent.push(agent.plan("a", (-1, 150))).applied
    assert (applied.gpu_uuid, stage.limit_w(1), stage.limit_w(0)) == (stage.gpus[1], 150, 300)
    assert {gpu.uuid: gpu.pods for gpu in agent.node().gpus} == {stage.gpus[0]: ("team/b",), stage.gpus[1]: ("team/a",)}
    kubelet.held = {}
    stage.waits(lambda: stage.limit_w(1) == 300, "the GPU is given back when its pod is gone")


@pytest.mark.parametrize(
    ("device", "reason", "word"),
    [
        ("nvidia1/vgpu0", "SharedGPU", "share"),
        ("nvidia1/gi0", "MIG", "MIG"),
        ("nvidia7", "GPULost", "/dev/nvidia7"),
        ("gpu-1", "NotSupported", "device files"),
    ],
)
def test_what_is_no_whole_gpu_is_refused(
    stage: Stage, agent: AgentProcess, kubelet: Kubelet, device: str, reason: str, word: str
) -> None:
    """Shares, instances, files without a GPU and names of unknown form, each with its reason."""
    kubelet.held = {"a": [device]}
    [refusal] = agent.push(agent.plan("a", (-1, 150))).refused
    assert refusal.reason == reason
    assert word in refusal.message
    assert stage.node.writes() == []
