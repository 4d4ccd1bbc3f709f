"""The chart, rendered by the real helm."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from carbonzeus_bed import programs

CHART = Path(__file__).resolve().parents[3] / "charts/carbonzeus"

Objects = dict[tuple[str, str], dict[str, Any]]
"""Rendered objects by (kind, name)."""


class Refused(Exception):
    """Helm did not render: its message."""


@pytest.fixture(scope="session")
def helm(bed_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs helm; `Refused` with what it said when it fails."""
    home = tmp_path_factory.mktemp("helm")

    def run(*args: str) -> str:
        environment = {"PATH": os.defpath, "HOME": str(home)}
        done = subprocess.run(
            [programs.program("helm"), *args], capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode:
            raise Refused(done.stderr + done.stdout)
        return done.stdout

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Objects]:
    """Renders the chart with these values on top of the defaults."""

    def rendered(values: dict[str, Any] | None = None) -> Objects:
        file = tmp_path_factory.mktemp("values") / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}))
        text = helm("template", "cz", str(CHART), "--namespace=carbon-system", f"--values={file}")
        return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text) if one}

    return rendered


@pytest.fixture(scope="session")
def defaults(render: Callable[..., Objects]) -> Objects:
    """The chart with nothing but its defaults."""
    return render()
