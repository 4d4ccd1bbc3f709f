"""The environment of both processes: every setting can be set, and unset values are the processes' own defaults."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_settings import BaseSettings

from carbonzeus_agent.settings import Settings as AgentSettings
from carbonzeus_operator.settings import Settings as OperatorSettings

REPLAY = {
    "grid": {
        "replay": {"speed": 2880.5, "recordedStart": "2021-08-01T00:00:00Z", "wallStart": "2026-11-24T10:00:00+01:00"},
        "zones": {"us-west-1": "US-CAL-CISO"},
        "existingSecret": "grid-credentials",
    }
}
FIELDS = {
    "metadata.namespace": "carbon-system",
    "metadata.name": "pod-x",
    "spec.nodeName": "node-x",
    "status.podIP": "10.0.0.9",
}
PARTS = [
    pytest.param(("Deployment", "carbonzeus-operator"), OperatorSettings, id="operator"),
    pytest.param(("DaemonSet", "carbonzeus-agent"), AgentSettings, id="agent"),
]


def environment(workload: dict[str, Any]) -> dict[str, str]:
    """The variables of the pod's container as a kubelet resolves them."""
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    names = [entry["name"] for entry in container["env"]]
    assert len(names) == len(set(names))
    return {
        entry["name"]: entry.get("value") or FIELDS[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in container["env"]
    }


def settings_of(kind: type[BaseSettings], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> BaseSettings:
    """What the process reads."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return kind()


@pytest.mark.parametrize(("workload", "kind"), PARTS)
def test_every_setting_is_set_and_every_variable_is_a_setting(render, workload, kind):
    """A setting that values cannot reach, or a variable nobody reads, would be a lie."""
    variables = {name for name in environment(render(REPLAY)[workload]) if name.startswith("CARBONZEUS_")}
    assert variables == {f"CARBONZEUS_{name.upper()}" for name in kind.model_fields}


@pytest.mark.parametrize(("workload", "kind"), PARTS)
def test_the_charts_defaults_are_those_of_the_process(defaults, workload, kind, monkeypatch):
    """Whether installed by the chart or run by hand: the same behaviour. Paths and identities are the chart's."""
    read = settings_of(kind, environment(defaults[workload]), monkeypatch)
    own = {name: field.get_default(call_default_factory=True) for name, field in kind.model_fields.items()}
    of_the_pod = {"namespace", "pod_name", "node_name", "pod_ip", "health_host", "state_dir"}
    assert {name: getattr(read, name) for name in own.keys() - of_the_pod} == {
        name: own[name] for name in own.keys() - of_the_pod
    }


def test_a_replay_reaches_the_operator(render, monkeypatch):
    """Speed and both instants, and the zone map as JSON."""
    variables = environment(render(REPLAY)["Deployment", "carbonzeus-operator"])
    read = settings_of(OperatorSettings, variables, monkeypatch)
    assert isinstance(read, OperatorSettings)
    assert read.replay is not None
    recorded, wall, speed = read.replay
    assert (recorded.isoformat(), wall.isoformat(), speed) == (
        "2021-08-01T00:00:00+00:00",
        "2026-11-24T10:00:00+01:00",
        2880.5,
    )
    assert read.zones == {"us-west-1": "US-CAL-CISO"}


def test_fractions_and_large_numbers_are_written_out(render, monkeypatch):
    """No exponent, no lost digit."""
    values = {"operator": {"settings": {"retentionSeconds": 31536000, "minimumDwellSeconds": 0.5}}}
    variables = environment(render(values)["Deployment", "carbonzeus-operator"])
    assert variables["CARBONZEUS_RETENTION_SECONDS"] == "31536000"
    assert variables["CARBONZEUS_MINIMUM_DWELL_SECONDS"] == "0.5"


def test_operator_and_agents_agree_on_the_port(render):
    """One value for both sides, the container port and the network policy."""
    objects = render({"agent": {"apiPort": 19810}})
    agent = objects["DaemonSet", "carbonzeus-agent"]
    assert environment(agent)["CARBONZEUS_API_PORT"] == "19810"
    assert environment(objects["Deployment", "carbonzeus-operator"])["CARBONZEUS_AGENT_PORT"] == "19810"
    ports = agent["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert {"name": "api", "containerPort": 19810} in ports


@pytest.mark.parametrize(("workload", "kind"), PARTS)
def test_paths_lie_in_volumes(render, workload, kind):
    """The root file system is read-only: whatever a process reads or keeps is mounted."""
    objects = render({"grid": {"file": {"existingConfigMap": "grid"}}})
    mounts = objects[workload]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    paths = [value for value in environment(objects[workload]).values() if value.startswith("/")]
    assert paths
    assert all(
        any(path == mount["mountPath"] or path.startswith(mount["mountPath"] + "/") for mount in mounts)
        for path in paths
    )
