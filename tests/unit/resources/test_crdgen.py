"""The CRDs made from the models."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from pydantic import Field

from carbonzeus_operator.resources import ALL
from carbonzeus_operator.resources.base import Part

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def crdgen():
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("crdgen", ROOT / "tools/crdgen.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_crds_are_those_of_the_models():
    """`tools/crdgen.py --check` as a contributor runs it; the diff is shown when it fails."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools/crdgen.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_file_is_shown_as_a_diff(crdgen, tmp_path):
    """Also a missing one and one too many."""
    crdgen.write(tmp_path)
    assert crdgen.stale(tmp_path) == []
    (tmp_path / "crds/carbonzeus.dev_carbonpolicies.yaml").write_text("old: true\n")
    (tmp_path / "crds/carbonzeus.dev_powerprofiles.yaml").unlink()
    (tmp_path / "crds/gone.yaml").write_text("left: over\n")
    shown = "\n".join(crdgen.stale(tmp_path))
    assert "-old: true" in shown
    assert "+++ crds/carbonzeus.dev_powerprofiles.yaml (should be)" in shown
    assert "-left: over" in shown


def test_writing_removes_what_no_model_stands_for(crdgen, tmp_path):
    """A kind that was renamed leaves no file behind."""
    crdgen.write(tmp_path)
    (tmp_path / "crds/gone.yaml").write_text("left: over\n")
    crdgen.write(tmp_path)
    assert not (tmp_path / "crds/gone.yaml").exists()


@pytest.mark.parametrize("resource", ALL, ids=lambda resource: resource.kind)
def test_a_kind_keeps_the_conventions(crdgen, resource):
    """Status apart, short names, category, 4 to 7 columns and the wide ones, conditions one a type."""
    definition = crdgen.crd(resource)
    version = definition["spec"]["versions"][0]
    narrow = [column for column in version["additionalPrinterColumns"] if not column.get("priority")]
    conditions = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert definition["spec"]["names"]["categories"] == ["carbon"]
    assert definition["spec"]["names"]["shortNames"]
    assert version["subresources"] == {"status": {}}
    assert 4 <= len(narrow) <= 8
    assert narrow[-1]["name"] == "Age"
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@pytest.mark.parametrize("resource", ALL, ids=lambda resource: resource.kind)
def test_columns_point_at_fields_that_exist(crdgen, resource):
    """A path with a typing error would be an empty column for ever."""
    schema = crdgen.crd(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for column in resource.columns:
        node = schema
        for step in column.path.split("[")[0].strip(".").split("."):
            if step == "metadata":
                break
            node = node["properties"][step]


def test_the_chart_copy_is_the_same_definition_behind_switches(crdgen):
    """Templates differ in metadata only."""
    for resource in ALL:
        lines = crdgen.chart_template(resource).splitlines()
        assert "{{- if .Values.crds.enabled }}" in lines
        assert "    helm.sh/resource-policy: keep" in lines
        body = "\n".join(lines[lines.index("spec:") : -1])
        assert yaml.safe_load(body)["spec"] == crdgen.crd(resource)["spec"]


class Inner(Part):
    """What is inside."""

    count: Annotated[int, Field(ge=1)] = 3
    """How many."""


class Outer(Part):
    """What is outside."""

    name: Annotated[str, Field(max_length=5)] | None = None
    """A name over
    two lines."""
    inner: Inner = Inner()
    """The inner one, in the words of its user."""
    labels: Annotated[dict[str, Annotated[str, Field(max_length=9)]], Field(max_length=4)] = {}  # noqa: RUF012 - frozen
    """Labels."""


def test_a_model_becomes_a_structural_schema(crdgen):
    """References resolved, nulls gone, defaults and bounds kept, docstrings on one line."""
    assert crdgen.structural(Outer, defaults=True) == {
        "description": "What is outside.",
        "type": "object",
        "properties": {
            "name": {"description": "A name over two lines.", "type": "string", "maxLength": 5},
            "inner": {
                "description": "The inner one, in the words of its user.",
                "type": "object",
                "default": {"count": 3},
                "properties": {
                    "count": {
                        "description": "How many.",
                        "type": "integer",
                        "format": "int64",
                        "default": 3,
                        "minimum": 1,
                    }
                },
            },
            "labels": {
                "description": "Labels.",
                "type": "object",
                "maxProperties": 4,
                "additionalProperties": {"type": "string", "maxLength": 9},
            },
        },
    }


def test_a_status_has_no_defaults(crdgen):
    """The API server would fill them in, and nobody could tell what the operator wrote."""
    inner = crdgen.structural(Outer, defaults=False)["properties"]["inner"]
    assert "default" not in inner
    assert "default" not in inner["properties"]["count"]


class Floating(Part):
    """A float."""

    share: float
    """Of something."""


class Boundless(Part):
    """No bounds."""

    name: str
    """Of any length."""
    names: tuple[Annotated[str, Field(max_length=1)], ...]
    """Any number."""
    labels: dict[str, Annotated[str, Field(max_length=1)]]
    """Any number."""


class Silent(Part):
    """A field nobody explains."""

    count: int


class Torn(Part):
    """Two types at once."""

    value: Annotated[str, Field(max_length=5)] | Annotated[int, Field(ge=0)]
    """This or that."""


@pytest.mark.parametrize(
    ("model", "faults"),
    [
        (Floating, ["Floating.share: a float"]),
        (
            Boundless,
            [
                "Boundless.name: a string without max_length",
                "Boundless.names: a list without max_length",
                "Boundless.labels: a map without max_length",
            ],
        ),
        (Silent, ["Silent.count: no docstring"]),
        (Torn, ["a union of several types"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_the_conventions_forbid_is_refused(crdgen, model, faults):
    """By name, before an API server sees it."""
    with pytest.raises(crdgen.NotStructural) as error:
        crdgen.structural(model, defaults=True)
    assert all(fault in str(error.value) for fault in faults)
