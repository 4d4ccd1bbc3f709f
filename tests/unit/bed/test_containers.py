"""From a container's spec to a command line and its variables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from carbonzeus_bed.containers import Mounts, NotStartable, Sources, command, environment, field, references

POD: dict[str, Any] = {
    "metadata": {
        "name": "agent-x",
        "namespace": "carbonzeus",
        "labels": {"app.kubernetes.io/component": "agent"},
        "annotations": {"carbonzeus.dev/note": "hello"},
    },
    "spec": {"nodeName": "gpu-a", "containers": []},
    "status": {"podIP": "127.32.0.1", "hostIP": "127.32.254.1"},
}
NOTHING = Sources({}, {})
NO_MOUNTS = Mounts({})


def container(**parts: Any) -> dict[str, Any]:
    """A container's spec."""
    return {"name": "agent", "image": "carbonzeus-agent", **parts}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "agent-x"),
        ("metadata.namespace", "carbonzeus"),
        ("spec.nodeName", "gpu-a"),
        ("status.podIP", "127.32.0.1"),
        ("status.hostIP", "127.32.254.1"),
        ("metadata.labels['app.kubernetes.io/component']", "agent"),
        ("metadata.annotations['carbonzeus.dev/note']", "hello"),
        ("metadata.labels['absent']", ""),
    ],
)
def test_fields_of_the_pod_become_values(path: str, value: str) -> None:
    """The downward API, as far as pods of ours use it."""
    assert field(POD, path) == value


def test_references_expand_in_order() -> None:
    """`$(NAME)` takes variables defined before; unknown ones and `$$` stay as text."""
    spec = container(
        env=[
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(LATER)-$$(A)"},
            {"name": "LATER", "value": "x"},
        ]
    )
    assert environment(POD, spec, NOTHING, NO_MOUNTS)["B"] == "1-$(LATER)-$(A)"


def test_config_maps_and_secrets_are_read_by_key_and_as_a_whole() -> None:
    """`env` wins over `envFrom`; a prefix goes before the keys."""
    sources = Sources({"settings": {"ONE": "1", "TWO": "2"}}, {"login": {"password": "sesame"}})
    spec = container(
        envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "X_"}],
        env=[
            {"name": "X_TWO", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "ONE"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        ],
    )
    assert environment(POD, spec, sources, NO_MOUNTS) == {"X_ONE": "1", "X_TWO": "1", "PASSWORD": "sesame"}


def test_a_missing_secret_stops_the_start_unless_optional() -> None:
    """As a kubelet: an error that names the variable, or no variable."""
    reference = {"name": "login", "key": "password"}
    spec = container(env=[{"name": "PASSWORD", "valueFrom": {"secretKeyRef": reference}}])
    with pytest.raises(NotStartable, match=r"PASSWORD.*login/password"):
        environment(POD, spec, NOTHING, NO_MOUNTS)
    spec = container(env=[{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {**reference, "optional": True}}}])
    assert environment(POD, spec, NOTHING, NO_MOUNTS) == {}


def test_what_a_pod_refers_to_is_found() -> None:
    """Names of ConfigMaps and Secrets from `env` and `envFrom`."""
    spec = container(
        envFrom=[{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}],
        env=[
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {"name": "D", "valueFrom": {"secretKeyRef": {"name": "d", "key": "k"}}},
        ],
    )
    assert references({**POD, "spec": {"containers": [spec]}}) == ({"a", "c"}, {"b", "d"})


@pytest.mark.parametrize(
    ("value", "local"),
    [
        ("/var/lib/carbonzeus", "/bed/state"),
        ("/var/lib/carbonzeus/ledger.db", "/bed/state/ledger.db"),
        ("/var/lib/carbonzeus-other", "/var/lib/carbonzeus-other"),
        ("/var/lib/deeper/file", "/bed/deeper/file"),
        ("about /var/lib/carbonzeus", "about /var/lib/carbonzeus"),
    ],
)
def test_paths_below_mounts_become_local(value: str, local: str) -> None:
    """The longest mount wins, and only whole path components count."""
    mounts = Mounts(
        {
            "/var/lib": Path("/var/lib"),
            "/var/lib/carbonzeus": Path("/bed/state"),
            "/var/lib/deeper": Path("/bed/deeper"),
        }
    )
    assert mounts.local(value) == local


def test_python_is_the_beds_own() -> None:
    """The command of the spec, run by the interpreter that has carbonzeus installed."""
    spec = container(command=["python", "-m", "carbonzeus_agent"], args=["--node=$(NODE)", "/etc/x/y"])
    mounts = Mounts({"/etc/x": Path("/bed/x")})
    expected = [sys.executable, "-m", "carbonzeus_agent", "--node=gpu-a", "/bed/x/y"]
    assert command(POD, spec, {"NODE": "gpu-a"}, mounts) == expected


def test_without_a_command_the_image_decides() -> None:
    """The entry point of our image, known by the component; no other image is known."""
    assert command(POD, container(), {}, NO_MOUNTS) == [sys.executable, "-m", "carbonzeus_agent"]
    stranger = {**POD, "metadata": {**POD["metadata"], "labels": {}}}
    with pytest.raises(NotStartable, match="no command"):
        command(stranger, container(), {}, NO_MOUNTS)
