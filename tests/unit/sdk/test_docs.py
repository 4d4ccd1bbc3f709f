"""What the page says of counting works as it stands there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from carbonzeus import Progress, endpoint, progress
from carbonzeus_operator.resources.annotations import parse
from carbonzeus_wire import ProgressSource
from tests.unit.sdk.asking import count_at, free_port, tells

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "progress.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_annotation_is_understood() -> None:
    """By the operator, and means where a `Progress` is served unless told otherwise."""
    (manifest,) = blocks("yaml")
    request = parse(yaml.safe_load(manifest)["metadata"]["annotations"], {})
    assert request is not None
    assert request.progress == ProgressSource(port=progress.PORT, path=endpoint.PATH, metric=progress.METRIC)
    assert Progress(90_000).annotation in manifest


def test_the_plain_loop_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three lines more than without."""
    port = free_port()
    monkeypatch.setenv("CARBONZEUS_PORT", str(port))
    seen: list[float | None] = []
    loop = blocks("python")[0]
    exec(
        compile(loop, "docs/progress.md", "exec"), {"batches": range(5), "train": lambda _: seen.append(count_at(port))}
    )
    assert tells(seen, range(5))
    ours = [line for line in loop.splitlines() if "rogress" in line]
    assert len(ours) == 3


@pytest.mark.parametrize(("index", "module"), [(1, "hf"), (2, "lightning")])
def test_the_callbacks_are_where_the_page_imports_them_from(index: int, module: str) -> None:
    """Tests of their own run them, where their frameworks are installed."""
    first = ast.parse(blocks("python")[index]).body[0]
    assert isinstance(first, ast.ImportFrom)
    assert first.module == f"carbonzeus.{module}"
    source = (Path(progress.__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    assert [f"class {name.name}(" in source for name in first.names] == [True]


def test_the_bounds_are_those_of_the_endpoint() -> None:
    """Figures that stand in the text."""
    assert f"at most {endpoint.CONNECTIONS} connections" in PAGE
    assert f"no more than {1 / endpoint.PAUSE_S:.0f} times a second" in PAGE


@pytest.mark.parametrize("name", ["CARBONZEUS_PORT", "CARBONZEUS_DISABLED", "OMPI_COMM_WORLD_RANK", "PMI_RANK"])
def test_variables_of_the_page_are_read(name: str) -> None:
    """Nothing is documented that is not there."""
    assert f"`{name}" in PAGE
    assert any(f'"{name}"' in path.read_text() for path in Path(progress.__file__).parent.glob("*.py"))
