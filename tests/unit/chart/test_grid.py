"""The chart's providers of grid data: what is refused, what reaches the operator, where credentials are."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from carbonzeus_operator.grid.entries import AnyEntry, Entry
from carbonzeus_operator.settings import Settings
from tests.unit.chart.conftest import CHART, Refused

OPERATOR = ("Deployment", "carbonzeus-operator")
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
ENTRIES: tuple[type[Entry], ...] = get_args(get_args(AnyEntry)[0])
EVERYTHING: list[dict[str, Any]] = [
    {"type": "File", "name": "files", "factor": "Direct", "onlyZones": ["US-CAL-CISO"]},
    {"type": "NESO", "url": "https://neso.example/v1"},
    {"type": "EnergyCharts", "onlyZones": ["DE", "FR"]},
    {"type": "ElectricityMaps", "secretKey": "electricity-maps-token", "horizonHours": 24},
    {"type": "WattTime", "secretKey": "watttime", "zoneNames": {"US-CAL-CISO": "CAISO_NORTH"}},
    {"type": "CarbonAwareSDK", "url": "http://sdk.carbon:8080", "signal": "Average", "factor": "Lifecycle"},
    {
        "type": "Prometheus",
        "url": "http://prometheus:9090",
        "forecastQuery": 'ci{zone="$zone", kind="f"}',
        "actualQuery": "x",
    },
    {"type": "Exporter"},
]


def environment(objects: dict[tuple[str, str], Any]) -> dict[str, str]:
    """The operator's variables that have a value of their own."""
    (container,) = objects[OPERATOR]["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def test_entries_reach_the_operator_as_they_are(render, monkeypatch):
    """In their order, with all their options."""
    variables = environment(render({"grid": {"providers": EVERYTHING, "existingSecret": "grid"}}))
    assert json.loads(variables["CARBONZEUS_GRID_PROVIDERS"]) == EVERYTHING
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert [entry.type for entry in read.grid_providers] == [entry["type"] for entry in EVERYTHING]
    for entry, given in zip(read.grid_providers, EVERYTHING, strict=True):
        assert entry.model_dump(mode="json", by_alias=True, exclude_unset=True) == given


def test_the_schema_knows_what_the_operator_knows():
    """Types, options, which must be there, and what they may be."""
    item = SCHEMA["properties"]["grid"]["properties"]["providers"]["items"]
    by_type = {entry.model_fields["type"].default: entry for entry in ENTRIES}
    assert item["properties"]["type"]["enum"] == list(by_type)
    assert [one["then"]["$ref"] for one in item["allOf"]] == [f"#/definitions/provider{name}" for name in by_type]
    for name, entry in by_type.items():
        described = SCHEMA["definitions"][f"provider{name}"]
        options = {field.alias: field for field in entry.model_fields.values()}
        assert described["properties"].keys() == options.keys()
        assert set(described.get("required", ())) == {one for one, field in options.items() if field.is_required()}


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({}, "missing property 'type'"),
        ({"type": "Neso"}, "value must be one of"),
        ({"type": "NESO", "secretKey": "x"}, "additional properties 'secretKey' not allowed"),
        ({"type": "ElectricityMaps"}, "missing property 'secretKey'"),
        ({"type": "ElectricityMaps", "secretKey": "../token"}, "does not match pattern"),
        ({"type": "ElectricityMaps", "secretKey": "a/b"}, "does not match pattern"),
        ({"type": "ElectricityMaps", "secretKey": "x", "horizonHours": 30}, "value must be one of"),
        ({"type": "ElectricityMaps", "token": "abc"}, "additional properties 'token' not allowed"),
        ({"type": "Prometheus"}, "missing property 'url'"),
        ({"type": "NESO", "url": "api.example"}, "does not match pattern"),
        ({"type": "NESO", "url": "https://x/y?key=secret"}, "does not match pattern"),
        ({"type": "EnergyCharts", "onlyZones": ["D E"]}, "does not match pattern"),
        ({"type": "CarbonAwareSDK", "url": "http://x", "signal": "average"}, "value must be one of"),
        ({"type": "ElectricityMaps", "secretKey": "token"}, "has a secretKey, which needs grid.existingSecret"),
    ],
    ids=str,
)
def test_a_wrong_entry_is_refused(render, entry, complaint):
    """Before anything reaches the cluster."""
    with pytest.raises(Refused, match=complaint):
        render({"grid": {"providers": [entry]}})


def test_no_provider_at_all_is_refused(render):
    """There is always one: files."""
    with pytest.raises(Refused, match="minItems"):
        render({"grid": {"providers": []}})


def test_credentials_are_files_and_never_variables(render):
    """Mounted read-only for the operator alone; it starts without them and says what is missing."""
    objects = render({"grid": {"providers": EVERYTHING, "existingSecret": "my-secret"}})
    spec = objects[OPERATOR]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    mount = {"name": "grid-credentials", "mountPath": "/etc/carbonzeus/grid-credentials", "readOnly": True}
    assert mount in container["volumeMounts"]
    secret = {"secretName": "my-secret", "optional": True, "defaultMode": 0o440}
    assert {"name": "grid-credentials", "secret": secret} in spec["volumes"]
    assert environment(objects)["CARBONZEUS_GRID_CREDENTIALS_DIR"] == "/etc/carbonzeus/grid-credentials"
    assert not any("valueFrom" in one and "secretKeyRef" in one["valueFrom"] for one in container["env"])
    agent = objects["DaemonSet", "carbonzeus-agent"]["spec"]["template"]["spec"]
    assert "my-secret" not in json.dumps(agent)


def test_without_a_secret_nothing_is_mounted(defaults):
    """Files need none."""
    assert "grid-credentials" not in json.dumps(defaults[OPERATOR])
