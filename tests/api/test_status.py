"""The status that the operator writes: taken whole, read back equal, apart from the spec."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from carbonzeus_bed.api import ApiError
from carbonzeus_bed.control_plane import ControlPlane
from carbonzeus_operator import resources
from carbonzeus_operator.resources.base import Condition
from carbonzeus_operator.resources.policy import CARBON_POLICY
from carbonzeus_operator.resources.resource import Resource

pytestmark = pytest.mark.api

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
SPECS: dict[str, dict[str, Any]] = {
    "CarbonPolicy": {"maxSlowdown": "3%"},
    "CarbonReport": {"jobRef": {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "name": "job", "uid": "1"}},
    "PowerProfile": {
        "gpuProduct": "NVIDIA A40",
        "points": [
            {"limitWatts": 300, "averageWatts": 244, "throughput": 1},
            {"limitWatts": 250, "averageWatts": 216, "throughput": "0.98"},
        ],
    },
}


def something(schema: dict[str, Any]) -> Any:
    """A value with something in every field of a schema."""
    if "enum" in schema:
        return schema["enum"][-1]
    if schema.get("format") == "date-time":
        return NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    match schema["type"]:
        case "object":
            return {name: something(child) for name, child in schema["properties"].items()}
        case "array":
            return [something(schema["items"])]
        case "string":
            return next(text for text in ("Some", "7", "12.5%") if re.search(schema.get("pattern", ""), text))
        case kind:
            return {"integer": 7, "boolean": True}[kind]


def status_schema(control_plane: ControlPlane, resource: Resource[Any, Any]) -> Any:
    """The schema of a status as the API server has it."""
    definition = control_plane.api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{resource.crd_name}")
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]


@pytest.fixture(params=resources.ALL, ids=lambda resource: resource.kind)
def made(request, control_plane):
    """An object of each kind, its description and its path."""
    resource = request.param
    place = "/namespaces/default" if resource.scope == "Namespaced" else ""
    path = f"/apis/{resource.api_version}{place}/{resource.plural}"
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "case"}}
    control_plane.api.create(path, {**body, "spec": SPECS[resource.kind]})
    yield resource, f"{path}/case"
    control_plane.api.delete(f"{path}/case")


def test_a_full_status_is_taken_whole(control_plane, made):
    """Every field of the model survives the way to the server and back."""
    resource, path = made
    status = something(status_schema(control_plane, resource))
    body = control_plane.api.get(path) | {"status": resource.status.model_validate(status).as_json()}
    control_plane.api.call("PUT", f"{path}/status?fieldValidation=Strict", body)
    assert control_plane.api.get(path)["status"] == status


def test_the_server_adds_nothing_to_a_status(control_plane, made):
    """An empty one stays empty: no defaults."""
    _, path = made
    body = control_plane.api.get(path)
    control_plane.api.call("PUT", f"{path}/status", body | {"status": {}})
    assert control_plane.api.get(path).get("status", {}) == {}


def test_writing_the_spec_leaves_the_status(control_plane, made):
    """A user's `kubectl apply` cannot forge what the operator found."""
    _, path = made
    control_plane.api.merge(path, {"status": {"observedGeneration": 99}})
    assert "status" not in control_plane.api.get(path)


def test_a_condition_occurs_once_a_type(control_plane, made):
    """List-map semantics."""
    _, path = made
    ready = Condition(type="Ready", status="True", reason="Good", last_transition_time=NOW).as_json()
    body = control_plane.api.get(path)
    with pytest.raises(ApiError, match="Duplicate value"):
        control_plane.api.call("PUT", f"{path}/status", body | {"status": {"conditions": [ready, ready]}})


def test_two_writers_cannot_both_win(control_plane):
    """A status write carries the resourceVersion it was decided on."""
    path = f"/apis/{CARBON_POLICY.api_version}/carbonpolicies"
    body = {"apiVersion": CARBON_POLICY.api_version, "kind": "CarbonPolicy", "metadata": {"name": "raced"}}
    read = control_plane.api.create(path, {**body, "spec": SPECS["CarbonPolicy"]})
    control_plane.api.call("PUT", f"{path}/raced/status", read | {"status": {"jobs": 1}})
    with pytest.raises(ApiError) as error:
        control_plane.api.call("PUT", f"{path}/raced/status", read | {"status": {"jobs": 2}})
    assert error.value.status == 409
    control_plane.api.delete(f"{path}/raced")
