"""What the emulator reads from a pod."""

from __future__ import annotations

from typing import Any

import pytest

from carbonzeus_bed.pods import parse


def pod(**annotations: str) -> dict[str, Any]:
    """A worker as the training-operator makes it, and kwok runs it."""
    return {
        "metadata": {
            "uid": "1",
            "namespace": "team",
            "name": "train-worker-0",
            "labels": {"training.kubeflow.org/job-name": "train"},
            "annotations": {
                f"bed.carbonzeus.dev/{name.replace('_', '-')}": value for name, value in annotations.items()
            },
            "ownerReferences": [{"kind": "PyTorchJob", "uid": "job-uid", "controller": True}],
        },
        "spec": {
            "nodeName": "gpu-a",
            "containers": [
                {
                    "name": "pytorch",
                    "env": [{"name": "PET_NNODES", "value": "2"}],
                    "resources": {"limits": {"nvidia.com/gpu": "2"}},
                },
                {"name": "sidecar"},
            ],
        },
        "status": {"phase": "Running", "podIP": "127.40.0.1"},
    }


def test_worker_is_read_with_its_job() -> None:
    """Its job, how many workers that needs, its GPUs, and the defaults of the emulated training."""
    found = parse(pod())
    assert (found.job, found.job_uid, found.workers) == ("team/train", "job-uid", 2)
    assert (found.full_name, found.node, found.ip) == ("team/train-worker-0", "gpu-a", "127.40.0.1")
    assert found.containers == (("pytorch", 2), ("sidecar", 0))
    assert (found.network, found.steps_per_second, found.steps, found.metrics_port) == (
        "a40-resnet50",
        100.0,
        None,
        9100,
    )
    assert found.running
    assert not found.finished


def test_annotations_say_how_it_trains() -> None:
    """Network, speed, length and port."""
    found = parse(pod(network="a40-bert", steps_per_second="12.5", steps="4000", metrics_port="9200"))
    assert (found.network, found.steps_per_second, found.steps, found.metrics_port) == ("a40-bert", 12.5, 4000, 9200)
    assert (parse(pod()).counts, parse(pod(counts="Parts")).counts) == ("Whole", "Parts")


def test_pod_without_a_job_is_its_own() -> None:
    """A bare pod trains by itself."""
    bare = pod()
    bare["metadata"] |= {"labels": {}, "ownerReferences": []}
    bare["spec"]["containers"][0]["env"] = []
    found = parse(bare)
    assert (found.job, found.job_uid, found.workers) == ("team/train-worker-0", "1", 1)


def test_elastic_job_needs_its_least_workers() -> None:
    """PET_NNODES of an elastic job is a range."""
    elastic = pod()
    elastic["spec"]["containers"][0]["env"][0]["value"] = "1:4"
    assert parse(elastic).workers == 1


@pytest.mark.parametrize(
    ("name", "value"), [("network", "vgg"), ("counts", "Halves"), ("steps", "many"), ("metrics_port", "http")]
)
def test_bad_annotation_is_named(name: str, value: str) -> None:
    """The message says which pod and what is wrong."""
    with pytest.raises(ValueError, match=f"team/train-worker-0.*{value}"):
        parse(pod(**{name: value}))
