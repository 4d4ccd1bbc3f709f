"""Hollow GPU nodes, as the API shows a GPU node with the NVIDIA device plugin and GPU feature discovery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# A unix socket's path must stay under 108 characters; the rest of the path to a node's pod-resources socket is known.
LONGEST_NAME = 50


@dataclass(frozen=True, slots=True)
class Node:
    """One node to be."""

    name: str
    gpus: int = 4
    product: str = "NVIDIA A40"
    region: str = "us-west-1"

    def __post_init__(self) -> None:
        if len(self.name) > LONGEST_NAME:
            raise ValueError(f"node name {self.name!r} is longer than {LONGEST_NAME} characters")

    @classmethod
    def parse(cls, text: str) -> Node:
        """Read `NAME[:GPUS[:PRODUCT[:REGION]]]`."""
        name, *rest = text.split(":")
        kinds: list[Any] = [int, str, str]
        if len(rest) > len(kinds):
            raise ValueError(f"{text!r} is not NAME[:GPUS[:PRODUCT[:REGION]]]")
        return cls(name, *(kind(value) for kind, value in zip(kinds, rest, strict=False)))

    def manifest(self, ip: str, *, kubelet_ip: str, kubelet_port: int) -> dict[str, Any]:
        """The Node object, with the status that a kubelet would report; kwok keeps it Ready.

        One process answers for the kubelets of all nodes, on an address that each node shows as its external one.
        """
        amounts = {"cpu": "64", "memory": "512Gi", "pods": "110"}
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/region": self.region,
        }
        if self.gpus:
            amounts["nvidia.com/gpu"] = str(self.gpus)
            labels |= {
                "nvidia.com/gpu.present": "true",
                "nvidia.com/gpu.count": str(self.gpus),
                "nvidia.com/gpu.product": self.product.replace(" ", "-"),
            }
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "status": {
                "capacity": amounts,
                "allocatable": amounts,
                "addresses": [
                    {"type": "InternalIP", "address": ip},
                    {"type": "ExternalIP", "address": kubelet_ip},
                    {"type": "Hostname", "address": self.name},
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
            },
        }


DEFAULT_NODES = (Node("gpu-a"), Node("gpu-b"), Node("system", gpus=0))
