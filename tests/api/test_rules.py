"""Every rule of our kinds on the real API server: what it accepts, and what it refuses with which words.

A case is a file `cases/KIND/RULE.accept*.yaml` or `cases/KIND/RULE.refuse*.yaml`, written as a user would; its first line says
what becomes of it. Each rule has both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from carbonzeus_bed.api import ApiError
from carbonzeus_bed.control_plane import ControlPlane
from carbonzeus_operator import resources

pytestmark = pytest.mark.api

CASES = Path(__file__).parent / "cases"
CRDS = Path(__file__).resolve().parents[2] / "crds"
ALL = sorted(CASES.rglob("*.yaml"))
ACCEPTED = [path for path in ALL if ".accept" in path.name]
REFUSED = [path for path in ALL if ".refuse" in path.name]
RESOURCES = {resource.kind: resource for resource in resources.ALL}


def name(path: Path) -> str:
    """`carbonpolicy/mode.accept`."""
    return str(path.relative_to(CASES).with_suffix(""))


def rule(path: Path) -> str:
    """`carbonpolicy/mode`."""
    return re.sub(r"\.(accept|refuse).*", "", name(path))


def verdict(path: Path) -> str:
    """The first line of the file, without the #."""
    return path.read_text().splitlines()[0].removeprefix("# ")


def dry_run(control_plane: ControlPlane, path: Path) -> Any:
    """Sends the object as `kubectl create --dry-run=server` does: validated, defaulted, not kept."""
    body = yaml.safe_load(path.read_text())
    namespace = body["metadata"].get("namespace")
    place = f"/namespaces/{namespace}" if namespace else ""
    url = f"/apis/{body['apiVersion']}{place}/{RESOURCES[body['kind']].plural}?dryRun=All&fieldValidation=Strict"
    return control_plane.api.create(url, body)


@pytest.mark.parametrize("path", ACCEPTED, ids=name)
def test_accepted(control_plane, path):
    """The object is taken, and the defaults the server fills in are those the operator would read."""
    assert verdict(path) == "accepted"
    written = yaml.safe_load(path.read_text())
    read = RESOURCES[written["kind"]].read_spec(written)
    assert dry_run(control_plane, path)["spec"] == read.as_json()


@pytest.mark.parametrize("path", REFUSED, ids=name)
def test_refused(control_plane, path):
    """The object is refused, and the message holds the sentence that the first line promises."""
    promised = verdict(path)
    assert promised.startswith("refused: ")
    with pytest.raises(ApiError) as error:
        dry_run(control_plane, path)
    assert error.value.status in {400, 422}
    assert promised.removeprefix("refused: ") in str(error.value)


def test_every_rule_has_an_accept_and_a_refuse_case():
    """A rule that never refuses, or never lets through, proves nothing."""
    assert {rule(path) for path in ACCEPTED} == {rule(path) for path in REFUSED}


def sentences(node: Any) -> Iterator[str]:
    """The messages of all CEL rules below a schema; of an expression its longest literal."""
    if isinstance(node, dict):
        for one in node.get("x-kubernetes-validations", ()):
            yield one.get("message") or max(re.findall(r"'([^']*)'", one["messageExpression"]), key=len)
        for child in node.values():
            yield from sentences(child)
    elif isinstance(node, list):
        for child in node:
            yield from sentences(child)


@pytest.mark.parametrize("crd", sorted(CRDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_cel_rule_of_a_kind_is_refused_in_a_case(crd):
    """A new rule needs a case that shows its sentence."""
    definition = yaml.safe_load(crd.read_text())
    folder = CASES / definition["spec"]["names"]["singular"]
    promised = "\n".join(verdict(path) for path in folder.glob("*.yaml"))
    assert [sentence for sentence in sentences(definition) if sentence not in promised] == []
