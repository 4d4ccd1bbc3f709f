"""What users and admins write in the bed tests: policies, profiles, jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from carbonzeus_bed.pods import JOB_LABEL, PREFIX

Object = dict[str, Any]

ZONE = "TEST-ZONE"
STEPS_PER_SECOND = 100.0
"""Of an emulated job on one GPU at its reference limit."""

A40 = (
    (300, "244.26", "100.000"),
    (275, "230.76", "99.000"),
    (250, "216.22", "98.299"),
    (225, "198.38", "96.818"),
    (200, "179.23", "93.666"),
    (175, "160.86", "83.784"),
    (150, "144.26", "60.830"),
)
"""Zeus's measurement of ResNet50 on an A40 (You, Chung, Chowdhury, NSDI '23; Apache-2.0): limit, power, steps per second."""


def policy(name: str, **spec: Any) -> Object:
    """A CarbonPolicy of 3 % in our zone, unless told otherwise."""
    knob = {} if "carbonWeight" in spec else {"maxSlowdown": "3%"}
    return {
        "apiVersion": "carbonzeus.dev/v1alpha1",
        "kind": "CarbonPolicy",
        "metadata": {"name": name},
        "spec": {"zone": ZONE, **knob, **spec},
    }


def profile(
    name: str, *, gpus: int = 1, points: Iterable[tuple[Any, Any, Any]] = A40, unit: str = "Progress"
) -> Object:
    """A PowerProfile of a job with so many GPUs in all: as many GPUs, as much faster."""
    return {
        "apiVersion": "carbonzeus.dev/v1alpha1",
        "kind": "PowerProfile",
        "metadata": {"name": name},
        "spec": {
            "gpuProduct": "NVIDIA A40",
            "gpuCount": gpus,
            "throughputUnit": unit,
            "points": [
                {"limitWatts": limit, "averageWatts": watts, "throughput": f"{float(speed) * gpus:g}"}
                for limit, watts, speed in points
            ],
        },
    }


def job(
    name: str,
    *,
    seconds: float,
    policy: str | None = "gentle",
    profile: str | None = "a40",
    workers: int = 1,
    gpus: int = 1,
    node: str | None = None,
    spread: bool = True,
    annotations: Mapping[str, str] | None = None,
    progress: bool = True,
    steps_per_second: float = STEPS_PER_SECOND,
    noise: float | None = None,
    counts: str | None = None,
) -> Object:
    """A PyTorchJob that trains for so long at its reference limit. `workers` above 1 run on nodes of their own, unless they need not be `spread`.

    Without `progress` it says nothing of its steps. noise: of its speed, relative; None: as the bed has it. counts: "Parts": of steps, too, as the SDK does.
    """
    asked = {"carbonzeus.dev/policy": policy, "carbonzeus.dev/profile": profile if policy else None}
    if policy is not None and progress:
        asked["carbonzeus.dev/progress"] = "port=9100,path=/metrics,metric=train_steps_total"
    speed = steps_per_second * workers * gpus
    spec: Object = {
        "containers": [{"name": "pytorch", "image": "train", "resources": {"limits": {"nvidia.com/gpu": gpus}}}]
    }
    if node is not None:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    if workers > 1 and spread:
        selector = {"labelSelector": {"matchLabels": {JOB_LABEL: name}}, "topologyKey": "kubernetes.io/hostname"}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [selector]}}
    training = {f"{PREFIX}steps-per-second": f"{speed:g}", f"{PREFIX}steps": f"{round(speed * seconds)}"}
    if noise is not None:
        training[f"{PREFIX}noise"] = f"{noise:g}"
    if counts is not None:
        training[f"{PREFIX}counts"] = counts
    template = {"metadata": {"annotations": training}, "spec": spec}
    replicas = {"Master": 1, "Worker": workers - 1}
    given = {key: value for key, value in asked.items() if value is not None} | dict(annotations or {})
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": name, **({"annotations": given} if given else {})},
        "spec": {
            "pytorchReplicaSpecs": {
                role: {"replicas": count, "restartPolicy": "OnFailure", "template": template}
                for role, count in replicas.items()
                if count
            }
        },
    }
