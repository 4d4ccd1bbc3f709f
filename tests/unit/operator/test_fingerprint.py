"""What tells one workload from another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from copy import deepcopy
from functools import reduce
from operator import getitem
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.resources.profile import PowerProfileSpec
from carbonzeus_operator.world.fingerprint import fingerprint, workload_name

Specs = dict[str, Any]


def specs() -> Specs:
    """A job of one master and three workers, each with a sidecar before the container that trains."""
    sidecar = {"name": "logs", "image": "docker.io/fluent/fluent-bit:3.1"}
    trains = {
        "name": "pytorch",
        "image": "ghcr.io/lab/vision/resnet-train:v3",
        "command": ["python", "train.py"],
        "args": ["--batch", "128"],
        "resources": {"limits": {"nvidia.com/gpu": 2, "memory": "64Gi"}, "requests": {"cpu": "8"}},
        "env": [{"name": "RUN", "value": "monday"}],
    }
    template = {"metadata": {"labels": {"team": "vision"}}, "spec": {"containers": [sidecar, trains]}}
    return {
        "Master": {"replicas": 1, "template": deepcopy(template)},
        "Worker": {"replicas": 3, "template": deepcopy(template)},
    }


def pods(made: Specs) -> Specs:
    """The pods of the workers, as the template says."""
    found: Specs = made["Worker"]["template"]["spec"]
    return found


def trainer(made: Specs) -> Specs:
    """The container of the workers that trains."""
    found: Specs = pods(made)["containers"][1]
    return found


def changed(change: Callable[[Specs], object]) -> str:
    """The fingerprint after a change."""
    made = specs()
    change(made)
    assert made != specs(), "the change changes nothing"
    return fingerprint(made)


def reordered(value: Any, order: Callable[[list[Any]], list[Any]]) -> Any:
    """The same value with the keys of all its maps in another order."""
    if isinstance(value, dict):
        return {key: reordered(value[key], order) for key in order(list(value))}
    return [reordered(one, order) for one in value] if isinstance(value, list) else value


@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(random):
    """Who applied the job, and with which tool, is no part of the workload."""
    other = reordered(specs(), lambda keys: random.sample(keys, len(keys)))
    assert other == specs()
    assert fingerprint(other) == fingerprint(specs())
    assert workload_name(other) == workload_name(specs())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda made: trainer(made).update(env=[{"name": "RUN", "value": "tuesday"}]), id="env"),
        pytest.param(lambda made: trainer(made).update(envFrom=[{"secretRef": {"name": "key"}}]), id="envFrom"),
        pytest.param(lambda made: trainer(made).update(volumeMounts=[{"name": "d", "mountPath": "/d"}]), id="mounts"),
        pytest.param(lambda made: trainer(made).update(imagePullPolicy="Always"), id="pull policy"),
        pytest.param(lambda made: pods(made).update(volumes=[{"name": "d", "emptyDir": {}}]), id="volumes"),
        pytest.param(lambda made: pods(made).update(nodeSelector={"pool": "a40"}), id="nodeSelector"),
        pytest.param(lambda made: pods(made).update(schedulerName="volcano"), id="scheduler"),
        pytest.param(lambda made: pods(made).update(initContainers=[{"image": "init"}]), id="init containers"),
        pytest.param(lambda made: made["Worker"]["template"].pop("metadata"), id="labels"),
        pytest.param(lambda made: made["Worker"].update(restartPolicy="OnFailure"), id="restart policy"),
    ],
)
def test_what_names_a_run_or_places_it_does_not_matter(change):
    """A job that runs again elsewhere, under another name, is the same workload."""
    assert changed(change) == fingerprint(specs())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda made: trainer(made).update(image="ghcr.io/lab/vision/resnet-train:v4"), id="image"),
        pytest.param(lambda made: trainer(made).update(command=["python", "other.py"]), id="command"),
        pytest.param(lambda made: trainer(made).update(args=["--batch", "256"]), id="args"),
        pytest.param(lambda made: trainer(made).update(args=["128", "--batch"]), id="order of args"),
        pytest.param(lambda made: trainer(made).update(args=["--batch 128"]), id="one arg instead of two"),
        pytest.param(
            lambda made: trainer(made).update(command=["python"], args=["train.py", "--batch", "128"]), id="both"
        ),
        pytest.param(lambda made: trainer(made).update(name="tensorflow"), id="name"),
        pytest.param(lambda made: trainer(made)["resources"]["limits"].update({"nvidia.com/gpu": 4}), id="GPUs"),
        pytest.param(lambda made: trainer(made)["resources"].pop("requests"), id="requests"),
        pytest.param(lambda made: pods(made)["containers"].append({"name": "more"}), id="container"),
        pytest.param(lambda made: made["Worker"].update(replicas=4), id="replicas"),
        pytest.param(lambda made: made.pop("Master"), id="replica type"),
        pytest.param(lambda made: made.update(Chief=made.pop("Master")), id="name of a replica type"),
    ],
)
def test_what_decides_how_it_trains_matters(change):
    """Each alone makes another workload."""
    assert changed(change) != fingerprint(specs())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda made: made["Master"].pop("replicas"), id="replicas not said"),
        pytest.param(lambda made: made["Master"].update(replicas=None), id="replicas null"),
        pytest.param(lambda made: trainer(made)["resources"]["limits"].update({"nvidia.com/gpu": "2"}), id="quoted"),
        pytest.param(lambda made: pods(made)["containers"][0].update(args=[], command=None, resources={}), id="empty"),
    ],
)
def test_the_same_said_otherwise_is_the_same(change):
    """One replica is the default; an amount may be a number or text; nothing may be said in several ways."""
    assert changed(change) == fingerprint(specs())


def test_the_annotation_replaces_all_of_it():
    """Jobs of one name are one workload, whatever runs in them; the hash is that of the name alone."""
    other = {"Worker": {"template": {"spec": {"containers": [{"image": "other"}]}}}}
    assert (
        fingerprint(specs(), "resnet50-b128")
        == fingerprint(other, " resnet50-b128 ")
        == fingerprint({}, "resnet50-b128")
    )
    assert fingerprint(specs(), "resnet50-b128") == hashlib.sha256(b"resnet50-b128").hexdigest()[:16]
    assert (
        len({fingerprint(specs()), fingerprint(specs(), "resnet50-b128"), fingerprint(specs(), "resnet50-b256")}) == 3
    )
    assert fingerprint(specs(), " ") == fingerprint(specs())


def test_nothing_known_is_no_workload():
    """Jobs of which nothing is known do not share a curve."""
    empty: Any = {"Worker": {"replicas": 2, "template": {"spec": {"containers": []}}}}
    assert (fingerprint(empty), workload_name(empty)) == ("", "")


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("ghcr.io/lab/vision/resnet-train:v3", "resnet-train:v3"),
        ("localhost:5000/resnet", "resnet"),
        ("resnet", "resnet"),
        ("lab/resnet@sha256:" + 64 * "0", "resnet@sha256:" + 49 * "0"),
        ("", ""),
    ],
)
def test_a_workload_is_named_after_its_image(image, name):
    """The last part of the path, with tag or digest, cut to what a label value may hold."""
    made = specs()
    for spec in made.values():
        spec["template"]["spec"]["containers"][1]["image"] = image
    assert workload_name(made) == name
    assert len(name) <= 63


def test_a_workload_without_gpus_is_named_after_its_first_container():
    """And one with GPUs after the container that has them, wherever its sidecars stand."""
    made = specs()
    assert workload_name(made) == "resnet-train:v3"
    for spec in made.values():
        del spec["template"]["spec"]["containers"][1]["resources"]
    assert workload_name(made) == "fluent-bit:3.1"


def test_a_workload_is_named_as_its_annotation_says():
    """Cut to 63 characters, also where the annotation cannot be used."""
    assert workload_name(specs(), "resnet50-b128") == "resnet50-b128"
    assert workload_name(specs(), "w" * 70) == "w" * 63


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["template", "spec", "containers", "resources", "limits", "args", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(
    ODD,
    st.sampled_from(
        [
            "Worker",
            "Worker.replicas",
            "Worker.template",
            "Worker.template.spec",
            "Worker.template.spec.containers",
        ]
    ),
    ODD,
)
def test_odd_objects_do_not_raise(odd, path, named):
    """Whatever stands in the place of a map, a list or a text."""
    made = specs()
    *way, last = path.split(".")
    reduce(getitem, way, made)[last] = odd
    for one in (made, odd):
        assert re.fullmatch("([0-9a-f]{16})?", fingerprint(one, named))
        assert len(workload_name(one, named)) <= 63


@given(ODD, st.sampled_from(["name", "image", "command", "args", "resources", "env"]))
def test_odd_containers_do_not_raise(odd, field):
    """Nor whatever stands in a field of a container; one that is none counts as absent."""
    made = specs()
    trainer(made)[field] = odd
    assert re.fullmatch("[0-9a-f]{16}", fingerprint(made))
    pods(made)["containers"].append(None)
    assert re.fullmatch("[0-9a-f]{16}", fingerprint(made))
    assert len(workload_name(made)) <= 63


def test_a_profile_takes_the_fingerprint_and_the_name():
    """As they come out of a job."""
    points = [{"limitWatts": limit, "averageWatts": limit, "throughput": limit} for limit in (200, 300)]
    learned = {"fingerprint": fingerprint(specs()), "workload": workload_name(specs())}
    spec = PowerProfileSpec.model_validate({"gpuProduct": "NVIDIA A40", "points": points, **learned})
    assert (spec.fingerprint, spec.workload) == (fingerprint(specs()), "resnet-train:v3")
