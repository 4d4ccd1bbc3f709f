"""The Dockerfiles, as far as they can be checked without building them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("operator", "agent")


def text(part: str) -> str:
    """The Dockerfile, continued lines joined."""
    return (ROOT / f"docker/{part}.Dockerfile").read_text().replace("\\\n", " ")


@pytest.mark.parametrize("part", PARTS)
def test_only_wheels_with_known_hashes_are_installed(part):
    """From the locked file of this part."""
    (install,) = re.findall(r"pip --python .*install.*", text(part))
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert f"COPY requirements/{part}.txt /requirements.txt" in text(part)


@pytest.mark.parametrize("part", PARTS)
def test_what_is_copied_is_there_and_let_through(part):
    """Exactly the sources of this part and of the wire."""
    copied = re.findall(r"^COPY (?!--from)(\S+)", text(part), re.MULTILINE)
    allowed = re.findall(r"^!(\S+)", (ROOT / f"docker/{part}.Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert all((ROOT / path).exists() for path in copied)
    assert copied == allowed


@pytest.mark.parametrize("part", PARTS)
def test_image_and_pod_start_the_same_command(part):
    """Whoever runs the image by hand runs what the chart runs."""
    template = {"operator": "operator/deployment.yaml", "agent": "agent/daemonset.yaml"}[part]
    (command,) = re.findall(r"command: (\[.*\])", (ROOT / "charts/carbonzeus/templates" / template).read_text())
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])", text(part), re.MULTILINE)
    assert yaml.safe_load(command) == yaml.safe_load(entry)


def test_the_operators_image_is_not_roots():
    """The same user as in the chart."""
    assert "\nUSER 65532:65532\n" in text("operator")
    assert "runAsUser: 65532" in (ROOT / "charts/carbonzeus/templates/operator/deployment.yaml").read_text()
