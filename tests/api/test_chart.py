"""The rendered chart before the real API server: its objects are taken, and the authorizer grants what it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carbonzeus_bed.control_plane import ControlPlane

pytestmark = pytest.mark.api

CHART = str(Path(__file__).resolve().parents[2] / "charts/carbonzeus")
NAMESPACE = "carbon-system"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:carbonzeus-operator"
AGENT = f"system:serviceaccount:{NAMESPACE}:carbonzeus-agent"
WRITES = ("create", "update", "patch", "delete", "deletecollection", "bind", "escalate", "impersonate")


@pytest.fixture(scope="module")
def rendered(control_plane: ControlPlane) -> Iterator[str]:
    """The chart's objects as YAML, in a namespace that is there."""
    control_plane.kubectl("create", "namespace", NAMESPACE)
    yield control_plane.helm(
        "template",
        "cz",
        CHART,
        "-n",
        NAMESPACE,
        "--set-string",
        r"grid.file.data.US-CAL-CISO\.csv=start_utc",
        "--set",
        "operator.networkPolicy.enabled=true",
        "--set",
        "crds.enabled=false",
    )
    control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane, rendered: str) -> Iterator[None]:
    """The objects are in the cluster."""
    control_plane.kubectl("apply", "--validate=strict", "-f", "-", stdin=rendered)
    yield
    control_plane.kubectl("delete", "-f", "-", stdin=rendered)


def may(control_plane: ControlPlane, user: str, verb: str, resource: str, **where: str) -> bool:
    """Asks the authorizer. `resource` is `plural[/subresource][.group]`."""
    plural, _, group = resource.partition(".")
    plural, _, subresource = plural.partition("/")
    attributes = {"verb": verb, "group": group, "resource": plural, "subresource": subresource, **where}
    name, groups = user, ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"]
    review: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": name, "groups": groups, "resourceAttributes": attributes},
    }
    return bool(
        control_plane.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]
    )


def test_the_api_server_takes_every_object(installed):
    """Validated strictly: unknown fields, wrong types and impossible security contexts would be refused."""


def resources_of(control_plane: ControlPlane) -> Iterator[str]:
    """Every resource and subresource that the API server serves, and those of job kinds that it may serve one day."""
    paths = {"": "/api/v1"}
    for group in control_plane.api.get("/apis")["groups"]:
        paths[group["name"]] = f"/apis/{group['preferredVersion']['groupVersion']}"
    for group, path in paths.items():
        for resource in control_plane.api.get(path)["resources"]:
            yield f"{resource['name']}.{group}" if group else resource["name"]
    yield from ("pytorchjobs.kubeflow.org", "pytorchjobs/status.kubeflow.org", "pytorchjobs/finalizers.kubeflow.org")


def test_the_operator_may_write_only_its_own(control_plane, installed):
    """Of everything the API serves. What all accounts may do (reviews of their own rights) is not ours."""
    everybody = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}
    granted = {
        (verb, resource)
        for resource in resources_of(control_plane)
        if resource.partition(".")[0] not in everybody
        for verb in WRITES
        if may(control_plane, OPERATOR, verb, resource, namespace="default")
    }
    assert granted == {
        ("create", "carbonreports.carbonzeus.dev"),
        ("delete", "carbonreports.carbonzeus.dev"),
        ("create", "powerprofiles.carbonzeus.dev"),
        ("update", "powerprofiles.carbonzeus.dev"),
        ("delete", "powerprofiles.carbonzeus.dev"),
        ("update", "carbonpolicies/status.carbonzeus.dev"),
        ("update", "carbonreports/status.carbonzeus.dev"),
        ("update", "powerprofiles/status.carbonzeus.dev"),
        ("create", "events"),
    }


@pytest.mark.parametrize(
    "resource",
    [
        "pytorchjobs.kubeflow.org",
        "pods",
        "nodes",
        "namespaces",
        "customresourcedefinitions.apiextensions.k8s.io",
        "carbonpolicies.carbonzeus.dev",
        "carbonreports.carbonzeus.dev",
        "powerprofiles.carbonzeus.dev",
    ],
)
def test_the_operator_may_see_what_it_works_with(control_plane, installed, resource):
    """List and watch, in every namespace."""
    assert may(control_plane, OPERATOR, "list", resource)
    assert may(control_plane, OPERATOR, "watch", resource)


@pytest.mark.parametrize("resource", ["secrets", "configmaps", "pods/log", "pods/exec", "serviceaccounts/token"])
def test_the_operator_may_not_see_what_is_none_of_its_business(control_plane, installed, resource):
    """Neither read nor make."""
    assert not any(may(control_plane, OPERATOR, verb, resource) for verb in ("get", "list", "watch", "create"))


def test_the_operator_leads_by_one_lease_in_its_own_namespace(control_plane, installed):
    """No other lease, no other namespace."""
    lease = "leases.coordination.k8s.io"
    assert may(control_plane, OPERATOR, "update", lease, namespace=NAMESPACE, name="carbonzeus-operator")
    assert not may(control_plane, OPERATOR, "update", lease, namespace=NAMESPACE, name="kube-scheduler")
    assert not may(control_plane, OPERATOR, "update", lease, namespace="kube-system", name="carbonzeus-operator")


def test_the_operator_may_read_and_write_two_secrets_and_make_none(control_plane, installed):
    """Not list them either."""
    for name in ("carbonzeus-operator-tls", "carbonzeus-agent-tls"):
        assert all(
            may(control_plane, OPERATOR, verb, "secrets", namespace=NAMESPACE, name=name) for verb in ("get", "update")
        )
    assert not may(control_plane, OPERATOR, "get", "secrets", namespace=NAMESPACE, name="other")
    assert not any(may(control_plane, OPERATOR, verb, "secrets", namespace=NAMESPACE) for verb in ("create", "list"))


def test_the_agent_may_nothing(control_plane, installed):
    """Not even read."""
    verbs = ("get", "list", "watch", *WRITES)
    seen = ["pods", "nodes", "secrets", "events", "pytorchjobs.kubeflow.org", "carbonpolicies.carbonzeus.dev"]
    assert not any(may(control_plane, AGENT, verb, resource) for verb in verbs for resource in seen)
