"""The emulated kubelet: who gets which GPU, and what its socket says."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from carbonzeus_bed import podresources_pb2 as wire
from carbonzeus_bed.kubelet import Devices, Kubelet
from carbonzeus_bed.pods import Pod

UUIDS = ["GPU-0", "GPU-1", "GPU-2", "GPU-3"]


def pod(name: str, *gpus: int, phase: str = "Running") -> Pod:
    """A pod with a container for each number of GPUs."""
    containers = tuple((f"c{index}", count) for index, count in enumerate(gpus))
    return Pod(f"uid-{name}", "team", name, "gpu-a", "127.0.0.1", phase, deleting=False, containers=containers)


def test_pods_get_the_lowest_free_gpus() -> None:
    """Freed GPUs are used again, and nobody is moved."""
    devices = Devices(UUIDS)
    first, second, third = pod("first", 2), pod("second", 1), pod("third", 2)
    devices.update([first, second])
    assert (devices.uuids(first), devices.uuids(second)) == (["GPU-0", "GPU-1"], ["GPU-2"])
    devices.update([second])
    devices.update([second, third])
    assert (devices.uuids(second), devices.uuids(third)) == (["GPU-2"], ["GPU-0", "GPU-1"])


def test_containers_of_a_pod_have_gpus_of_their_own() -> None:
    """Each container holds what it asked for."""
    devices = Devices(UUIDS)
    split = pod("split", 1, 0, 2)
    devices.update([split])
    assert [devices.held(split, name) for name, _ in split.containers] == [["GPU-0"], [], ["GPU-1", "GPU-2"]]


def test_pod_that_asks_too_much_gets_nothing() -> None:
    """No device is handed out twice."""
    devices = Devices(UUIDS)
    greedy, modest = pod("greedy", 5), pod("modest", 4)
    devices.update([greedy, modest])
    assert devices.uuids(greedy) == []
    assert devices.uuids(modest) == UUIDS


def test_time_slices_spread_over_the_gpus() -> None:
    """With replicas the ids name the slice, and a second round shares GPUs."""
    devices = Devices(UUIDS[:2], replicas=2)
    pods = [pod(f"p{index}", 1) for index in range(3)]
    devices.update(pods)
    assert [devices.held(each, "c0") for each in pods] == [["GPU-0::0"], ["GPU-1::0"], ["GPU-0::1"]]
    assert devices.uuids(pods[2]) == ["GPU-0"]


class Client:
    """A client of the socket by the kubelet's service and method names."""

    def __init__(self, path: Path) -> None:
        self.channel = grpc.aio.insecure_channel(f"unix:{path}")

    async def call(self, method: str, request: Any, response: Any) -> Any:
        unary = self.channel.unary_unary(
            f"/v1.PodResourcesLister/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return await unary(request, timeout=10)

    async def list(self) -> dict[str, list[str]]:
        """The device ids of every pod."""
        reply = await self.call("List", wire.ListRequest(), wire.ListResponse)
        return {
            f"{found.namespace}/{found.name}": [
                id_ for container in found.containers for device in container.devices for id_ in device.device_ids
            ]
            for found in reply.pod_resources
        }


@pytest.fixture
async def kubelet(tmp_path: Path) -> AsyncIterator[tuple[Kubelet, Devices, Client]]:
    """One that serves, and a client of it."""
    devices = Devices(UUIDS)
    kubelet = Kubelet(devices, tmp_path / "kubelet.sock")
    await kubelet.start()
    client = Client(tmp_path / "kubelet.sock")
    yield kubelet, devices, client
    await client.channel.close()
    await kubelet.stop()


async def test_list_names_pods_and_their_devices(kubelet: tuple[Kubelet, Devices, Client]) -> None:
    """Active pods, those without GPUs too; finished ones are gone."""
    _, devices, client = kubelet
    devices.update([pod("train", 2), pod("web", 0), pod("done", 1, phase="Succeeded")])
    assert await client.list() == {"team/train": ["GPU-0", "GPU-1"], "team/web": []}


async def test_devices_are_entries_of_their_own(kubelet: tuple[Kubelet, Devices, Client]) -> None:
    """Like the real kubelet: one entry for each device, with its resource and its NUMA node."""
    _, devices, client = kubelet
    devices.update([pod("train", 2)])
    reply = await client.call("List", wire.ListRequest(), wire.ListResponse)
    entries = reply.pod_resources[0].containers[0].devices
    assert [(entry.resource_name, list(entry.device_ids)) for entry in entries] == [
        ("nvidia.com/gpu", ["GPU-0"]),
        ("nvidia.com/gpu", ["GPU-1"]),
    ]
    assert [node.ID for node in entries[0].topology.nodes] == [0]


async def test_get_answers_for_one_pod(kubelet: tuple[Kubelet, Devices, Client]) -> None:
    """A pod that is not there is an error, as the kubelet's."""
    _, devices, client = kubelet
    devices.update([pod("train", 1)])
    reply = await client.call("Get", wire.GetRequest(pod_name="train", pod_namespace="team"), wire.GetResponse)
    assert reply.pod_resources.containers[0].devices[0].device_ids == ["GPU-0"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.call("Get", wire.GetRequest(pod_name="none", pod_namespace="team"), wire.GetResponse)
    assert caught.value.code() is grpc.StatusCode.UNKNOWN


async def test_allocatable_resources_are_all_devices(kubelet: tuple[Kubelet, Devices, Client]) -> None:
    """Held or free."""
    _, devices, client = kubelet
    devices.update([pod("train", 1)])
    reply = await client.call("GetAllocatableResources", wire.AllocatableRequest(), wire.AllocatableResponse)
    assert [id_ for device in reply.devices for id_ in device.device_ids] == UUIDS


async def test_stopped_kubelet_leaves_no_socket(tmp_path: Path) -> None:
    """Down means gone; and it comes back at the same place, over what a killed one left."""
    path = tmp_path / "kubelet.sock"
    kubelet = Kubelet(Devices(UUIDS), path)
    await kubelet.start()
    await kubelet.stop()
    assert not path.exists()
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    await kubelet.start()
    client = Client(path)
    assert await client.list() == {}
    await client.channel.close()
    await kubelet.stop()


async def test_deep_folder_is_reached_by_a_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bed may lie deeper than the 107 characters of a unix socket's name."""
    deep = tmp_path / "/".join(["a-folder-with-a-long-name"] * 5)
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    kubelet = Kubelet(Devices(UUIDS), deep / "kubelet.sock")
    await kubelet.start()
    assert (deep / "kubelet.sock").is_socket()
    client = Client(Path("kubelet.sock"))
    assert await client.list() == {}
    await client.channel.close()
    await kubelet.stop()


def test_messages_live_beside_the_agents() -> None:
    """The agent's and the bed's generated messages can be imported into one process, in either order."""
    for names in (("bed", "agent"), ("agent", "bed")):
        modules = {"bed": "carbonzeus_bed.podresources_pb2", "agent": "carbonzeus_agent.pod_resources_pb2"}
        script = "; ".join(f"import {modules[name]}" for name in names)
        subprocess.run([sys.executable, "-c", script], check=True)
