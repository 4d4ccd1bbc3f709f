"""Writes the CRDs from the pydantic models: `crds/` for kubectl, and the chart's templates. `--check` only compares.

    python tools/crdgen.py [--check]

Refuses what the API conventions forbid: a field without a docstring, a string, list or map without bound, a float.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from carbonzeus_operator.resources import ALL
from carbonzeus_operator.resources.base import GROUP, VERSION, Part
from carbonzeus_operator.resources.resource import Column, Resource

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Written by tools/crdgen.py from operator/carbonzeus_operator/resources. Do not edit.\n"

ORDER = (
    "description",
    "type",
    "format",
    "x-kubernetes-int-or-string",
    "enum",
    "default",
    "required",
    "properties",
    "items",
)

Schema = dict[str, Any]


class NotStructural(Exception):
    """A model says something that a CRD of ours may not say."""


def crd(resource: Resource[Any, Any]) -> Schema:
    """The CustomResourceDefinition of one kind."""
    spec = structural(resource.spec, defaults=True)
    status = structural(resource.status, defaults=False)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.crd_name},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": list(resource.short_names),
                "categories": ["carbon"],
            },
            "scope": resource.scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in resource.columns],
                    "schema": {
                        "openAPIV3Schema": {
                            "description": resource.description,
                            "type": "object",
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": spec,
                                "status": status,
                            },
                        }
                    },
                }
            ],
        },
    }


def structural(model: type[Part], *, defaults: bool) -> Schema:
    """The model's JSON schema as a structural OpenAPI v3 schema: no references, no titles, no nulls, every bound there."""
    schema = TypeAdapter(model).json_schema(by_alias=True)
    definitions: Schema = schema.pop("$defs", {})
    made = _node(schema, definitions, defaults=defaults)
    faults = list(_faults(made, model.__name__))
    if faults:
        raise NotStructural("\n".join(faults))
    return made


def _node(schema: Schema, definitions: Schema, *, defaults: bool) -> Schema:
    node = _resolved(schema, definitions)
    node.pop("title", None)
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if not defaults or node.get("default", ...) in (None, [], {}):
        node.pop("default", None)
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    if node.get("type") == "integer":
        node["format"] = "int64"
    if "properties" in node:
        node["properties"] = {
            name: _node(child, definitions, defaults=defaults) for name, child in node["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = _node(node[key], definitions, defaults=defaults)
    return dict(
        sorted(node.items(), key=lambda item: (ORDER.index(item[0]) if item[0] in ORDER else len(ORDER), item[0]))
    )


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """Without reference, and `X | None` as X: what may be null may be absent."""
    node = dict(schema)
    if reference := node.pop("$ref", None):
        node = {**_resolved(definitions[reference.removeprefix("#/$defs/")], definitions), **node}
    kinds = [kind for kind in node.pop("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) > 1:
        raise NotStructural(f"a union of several types cannot be in a CRD: {schema}")
    for kind in kinds:
        node = _merged(_resolved(kind, definitions), node)
    return node


def _merged(inner: Schema, outer: Schema) -> Schema:
    """A field's own words go before those of its type; rules of both hold."""
    merged = {**inner, **outer}
    key = "x-kubernetes-validations"
    if key in inner and key in outer:
        merged[key] = [*inner[key], *outer[key]]
    return merged


def _faults(node: Schema, path: str) -> Iterator[str]:
    kind = node.get("type")
    if kind == "number":
        yield f"{path}: a float; use a quantity string or an integer"
    if kind == "string" and not ({"enum", "maxLength"} & node.keys() or node.get("format") == "date-time"):
        yield f"{path}: a string without max_length"
    if kind == "array" and "maxItems" not in node:
        yield f"{path}: a list without max_length"
    if kind == "object" and "properties" not in node and "maxProperties" not in node:
        yield f"{path}: a map without max_length"
    for name, child in node.get("properties", {}).items():
        if "description" not in child:
            yield f"{path}.{name}: no docstring"
        yield from _faults(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from _faults(node[key], f"{path}[]")


def _column(column: Column) -> Schema:
    made: Schema = {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.path,
    }
    if column.wide:
        made["priority"] = 1
    return made


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _yaml(data: Any) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def chart_template(resource: Resource[Any, Any]) -> str:
    """The CRD as a template of the chart, behind the switches `crds.enabled` and `crds.keep`."""
    whole = crd(resource)
    body = _yaml({"spec": whole["spec"]})
    if "{{" in body:
        raise NotStructural(f"{resource.kind}: '{{{{' in a text would be read as a template")
    return (
        HEADER + "{{- if .Values.crds.enabled }}\n"
        f"apiVersion: {whole['apiVersion']}\n"
        f"kind: {whole['kind']}\n"
        "metadata:\n"
        f"  name: {resource.crd_name}\n"
        '  labels: {{- include "carbonzeus.labels" . | nindent 4 }}\n'
        "  {{- if .Values.crds.keep }}\n"
        "  annotations:\n"
        "    helm.sh/resource-policy: keep\n"
        "  {{- end }}\n" + body + "{{- end }}\n"
    )


def files() -> dict[Path, str]:
    """Every file this tool writes, by its path below the checkout."""
    made = {}
    for resource in ALL:
        name = f"{GROUP}_{resource.plural}.yaml"
        made[Path("crds") / name] = HEADER + _yaml(crd(resource))
        made[Path("charts/carbonzeus/templates/crds") / name] = chart_template(resource)
    return made


def stale(root: Path = ROOT) -> list[str]:
    """What differs from the files below `root`, as lines of a diff; files that should not be there too."""
    wanted = files()
    found = {
        path.relative_to(root) for folder in {path.parent for path in wanted} for path in (root / folder).glob("*")
    }
    lines: list[str] = []
    for path in sorted(found | wanted.keys()):
        old = (root / path).read_text() if path in found else ""
        lines += difflib.unified_diff(
            old.splitlines(), wanted.get(path, "").splitlines(), f"{path} (is)", f"{path} (should be)", lineterm=""
        )
    return lines


def write(root: Path = ROOT) -> None:
    """Write every file, and remove what no model stands for any more."""
    wanted = files()
    for folder in {path.parent for path in wanted}:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for path in (root / folder).glob("*"):
            if path.relative_to(root) not in wanted:
                path.unlink()
    for path, text in wanted.items():
        (root / path).write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 with a diff when files are stale")
    if not parser.parse_args().check:
        write()
        return 0
    lines = stale()
    if lines:
        print("\n".join([*lines, "", "The CRDs are stale: run tools/crdgen.py and commit what it wrote."]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
