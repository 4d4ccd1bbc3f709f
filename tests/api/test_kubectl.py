"""What people see of our kinds with kubectl."""

from __future__ import annotations

import re

import pytest

from carbonzeus_bed.control_plane import ControlPlane
from carbonzeus_operator import resources

pytestmark = pytest.mark.api

EXPLAINED = re.compile(r"^( *)(?P<name>\S+)\t<(?P<type>[^>]+)>(?P<required> -required-)?$", re.MULTILINE)


def explain(control_plane: ControlPlane, field: str, seen: dict[str, str]) -> None:
    """Walks `kubectl explain` below a field: the paths of all fields, each with its description."""
    text = control_plane.kubectl("explain", field)
    parts = EXPLAINED.split(text.partition("FIELDS:\n")[2])
    for name, kind, description in zip(parts[2::5], parts[3::5], parts[5::5], strict=True):
        words = re.sub(r"^ *enum: .*$", "", description, flags=re.MULTILINE).strip()
        seen[f"{field}.{name}"] = words
        if "Object" in kind:
            explain(control_plane, f"{field}.{name}", seen)


@pytest.mark.parametrize("resource", resources.ALL, ids=lambda resource: resource.kind)
def test_explain_has_a_sentence_at_every_field(control_plane, resource):
    """The kind and each field below spec and status, at any depth."""
    singular = resource.kind.lower()
    top = " ".join(
        control_plane.kubectl("explain", singular).partition("DESCRIPTION:")[2].partition("FIELDS:")[0].split()
    )
    assert top == resource.description
    seen: dict[str, str] = {}
    explain(control_plane, f"{singular}.spec", seen)
    explain(control_plane, f"{singular}.status", seen)
    assert f"{singular}.status.conditions.lastTransitionTime" in seen
    assert [field for field, words in seen.items() if not words.endswith(".")] == []


@pytest.mark.parametrize("resource", resources.ALL, ids=lambda resource: resource.kind)
def test_kinds_answer_to_their_short_names(control_plane, resource):
    """Plural, singular, short name and category."""
    listed = control_plane.kubectl("api-resources", "--api-group=carbonzeus.dev", "--no-headers", "--categories=carbon")
    line = next(line for line in listed.splitlines() if line.startswith(f"{resource.plural} "))
    assert line.split() == [
        resource.plural,
        ",".join(resource.short_names),
        resource.api_version,
        str(resource.scope == "Namespaced").lower(),
        resource.kind,
    ]


def test_get_shows_the_columns_of_a_policy(control_plane):
    """The knob at a glance; the signal with -o wide."""
    control_plane.kubectl(
        "apply",
        "-f",
        "-",
        stdin="apiVersion: carbonzeus.dev/v1alpha1\nkind: CarbonPolicy\n"
        'metadata: {name: columns}\nspec: {maxSlowdown: "3%", zone: US-CAL-CISO}\n',
    )
    header, row = control_plane.kubectl("get", "cpol", "columns").splitlines()
    assert header.split() == ["NAME", "MODE", "MAXSLOWDOWN", "CARBONWEIGHT", "ZONE", "JOBS", "READY", "AGE"]
    assert row.split()[:4] == ["columns", "Enforce", "3%", "US-CAL-CISO"]
    assert "SIGNAL" in control_plane.kubectl("get", "cpol", "columns", "-o", "wide")
    control_plane.kubectl("delete", "cpol", "columns")


def test_get_shows_the_columns_of_a_profile(control_plane):
    """Who wrote it and how sure it is at a glance; what was trained with -o wide."""
    control_plane.kubectl(
        "apply",
        "-f",
        "-",
        stdin="apiVersion: carbonzeus.dev/v1alpha1\nkind: PowerProfile\nmetadata: {name: columns, namespace: default}\n"
        "spec: {gpuProduct: A40, workload: resnet, points: [{limitWatts: 300, averageWatts: 244, throughput: 1},"
        ' {limitWatts: 250, averageWatts: 216, throughput: "0.98"}]}\n',
    )
    header, row = control_plane.kubectl("get", "ppf", "columns").splitlines()
    narrow = ["NAME", "GPU", "POINTS", "WINDOWS", "UNCERTAINTY", "RUNS", "SOURCE", "USABLE", "AGE"]
    assert header.split() == narrow
    assert row.split()[:3] == ["columns", "A40", "User"]
    header, row = control_plane.kubectl("get", "ppf", "columns", "-o", "wide").splitlines()
    assert header.split() == [*narrow, "GPUS", "WORKLOAD", "VERSION"]
    assert row.split()[-2:] == ["1", "resnet"]
    control_plane.kubectl("delete", "ppf", "columns")


def test_kubectl_says_which_field_is_unknown(control_plane):
    """Strict by default: a misspelt field is an error, not a policy without it."""
    with pytest.raises(RuntimeError, match=r'unknown field "spec\.maxSlowdwon"'):
        control_plane.kubectl(
            "apply",
            "-f",
            "-",
            stdin="apiVersion: carbonzeus.dev/v1alpha1\nkind: CarbonPolicy\n"
            'metadata: {name: typo}\nspec: {maxSlowdown: "3%", maxSlowdwon: "5%"}\n',
        )
