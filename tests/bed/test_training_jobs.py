"""The real training-operator runs jobs on the hollow nodes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest

from carbonzeus_bed.api import wait_until
from carbonzeus_bed.cluster import Cluster

pytestmark = pytest.mark.bed

JOBS = "/apis/kubeflow.org/v1/namespaces/default/pytorchjobs"


def pytorchjob(name: str, *, workers: int, gpus: int) -> dict[str, Any]:
    """A job of one master and `workers - 1` workers."""
    limits = {"nvidia.com/gpu": gpus}
    template = {"spec": {"containers": [{"name": "pytorch", "image": "train", "resources": {"limits": limits}}]}}
    replicas = {"Master": 1, "Worker": workers - 1}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": name},
        "spec": {
            "pytorchReplicaSpecs": {
                role: {"replicas": count, "restartPolicy": "OnFailure", "template": template}
                for role, count in replicas.items()
                if count
            }
        },
    }


@pytest.fixture
def pods(bed: Cluster) -> Iterator[list[dict[str, Any]]]:
    """The running pods of a job of two workers with three GPUs each."""
    bed.api.create(JOBS, pytorchjob("two", workers=2, gpus=3))
    query = "/api/v1/namespaces/default/pods?labelSelector=training.kubeflow.org/job-name=two"

    def running() -> list[dict[str, Any]]:
        return [pod for pod in bed.api.get(query)["items"] if pod["status"]["phase"] == "Running"]

    assert wait_until(lambda: len(running()) == 2, 30)
    yield running()
    bed.api.delete(f"{JOBS}/two")
    assert wait_until(lambda: bed.api.get(query)["items"] == [], 30)


def test_workers_run_where_their_gpus_fit(pods: list[dict[str, Any]]) -> None:
    """Two workers of three GPUs do not fit on one node of four: the scheduler counts GPUs."""
    assert {pod["spec"]["nodeName"] for pod in pods} == {"gpu-a", "gpu-b"}


def test_pods_have_loopback_addresses_of_their_own(bed: Cluster, pods: list[dict[str, Any]]) -> None:
    """Each pod's address lies in this bed's block, where a process can listen on it."""
    block = ipaddress.ip_network(bed.block.pod_cidr)
    addresses = {ipaddress.ip_address(pod["status"]["podIP"]) for pod in pods}
    assert len(addresses) == len(pods)
    assert all(address in block for address in addresses)


def test_every_job_kind_of_the_trainer_is_served(bed: Cluster) -> None:
    """All six kinds are there for `kubectl`, PyTorchJob among them."""
    served = bed.api.get("/apis/kubeflow.org/v1")["resources"]
    kinds = {resource["kind"] for resource in served if "/" not in resource["name"]}
    assert kinds == {"PyTorchJob", "TFJob", "MPIJob", "XGBoostJob", "PaddleJob", "JAXJob"}
