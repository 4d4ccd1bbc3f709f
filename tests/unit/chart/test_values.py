"""Values: each is described, each does something, a wrong one is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.chart.conftest import CHART, Refused

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def keys(node: dict[str, Any], path: str = "") -> set[str]:
    """The paths of all values that a schema or a values file names."""
    found = set()
    for name, child in node.items():
        found.add(f"{path}{name}")
        if isinstance(child, dict):
            found |= keys(child, f"{path}{name}.")
    return found


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema as a tree of its properties."""
    schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    return {name: described(child) for name, child in schema.get("properties", {}).items()}


def test_helm_has_nothing_to_complain(helm):
    """`helm lint --strict`."""
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_the_schema_and_the_defaults_name_the_same_values():
    """No value without a default, none without a description. Maps of any content end the walk."""
    free = ("resources", "updateStrategy", "nodeSelector")
    named = {key for key in keys(VALUES) if not any(f".{name}." in key for name in free)}
    assert named == keys(described(SCHEMA)) - {"global"}


def test_the_chart_is_of_the_projects_version():
    """One version for all parts."""
    pyproject = (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["version"]}"' in pyproject
    assert chart["appVersion"] == chart["version"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"operater": {}}, "additional properties 'operater' not allowed"),
        ({"operator": {"settings": {"cycleSecond": 1}}}, "additional properties 'cycleSecond' not allowed"),
        ({"operator": {"settings": {"cycleSeconds": "1m"}}}, "got string, want number"),
        ({"operator": {"settings": {"cycleSeconds": 0}}}, "exclusiveMinimum"),
        ({"agent": {"settings": {"sampleSeconds": 0.001}}}, "minimum"),
        ({"agent": {"apiPort": 70000}}, "maximum"),
        ({"agent": {"hostPaths": {"state": "var/lib"}}}, "does not match pattern"),
        ({"grid": {"file": {"data": {"US-CAL-CISO": "x"}}}}, "does not match pattern"),
        ({"grid": {"zones": {"us-west-1": "US CAL"}}}, "does not match pattern"),
        ({"grid": {"replay": {"wallStart": "2026-11-24T10:00:00Z"}}}, "minLength"),
        ({"grid": {"replay": {"recordedStart": "yesterday"}}}, "does not match pattern"),
        ({"tls": {"mode": "Off"}}, "value must be one of"),
        ({"tls": {"mode": "CertManager"}}, "needs tls.certManager.issuerRef.name"),
        ({"metrics": {"services": False, "serviceMonitor": {"enabled": True}}}, "needs metrics.services"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(render, values, complaint):
    """Before anything reaches the cluster."""
    with pytest.raises(Refused, match=complaint):
        render(values)
