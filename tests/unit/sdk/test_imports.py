"""What a training's image must have for us: Python 3.9, and nothing else."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SDK = ROOT / "sdk" / "carbonzeus"
FILES = sorted(SDK.glob("*.py"))
FRAMEWORKS = {"hf.py": {"transformers"}, "lightning.py": {"lightning"}, "pytorch_lightning.py": {"pytorch_lightning"}}
OLDEST = (3, 9)
VERSIONS = [f"3.{minor}" for minor in range(9, 15)]

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from urllib.request import ProxyHandler, build_opener
from carbonzeus import Progress
with Progress(total_steps=5, port=0) as progress:
    progress.step()
    progress.step(2)
    port = dict(item.split("=") for item in progress.annotation.split(","))["port"]
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        name, told = answer.read().decode().splitlines()[-1].split()
assert 3 < float(told) <= 5, told
print(name)
import os
child = os.fork()
if not child:
    os._exit(0)
os.waitpid(child, 0)
"""


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_but_the_standard_library_is_imported(path: Path) -> None:
    """Each callback imports its framework besides."""
    tops = {name.partition(".")[0] for name in imported(ast.parse(path.read_text()))}
    assert tops - sys.stdlib_module_names - {"carbonzeus"} == FRAMEWORKS.get(path.name, set())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_old_python_can_read_it(path: Path) -> None:
    """No syntax that came later, and annotations that nobody evaluates."""
    tree = ast.parse(path.read_text(), feature_version=OLDEST)
    assert path.name == "__init__.py" or "__future__" in imported(tree)


def python(version: str) -> str | None:
    """An interpreter of that version on this machine: on the path, or one of pyenv's."""
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for candidate in (shutil.which(f"python{version}"), *map(str, pyenv)):
        if candidate is None:
            continue
        said = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, check=False
        )
        if said.stdout.decode().strip() == version:
            return candidate
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_it_counts_under_every_python(version: str) -> None:
    """Alone: without site packages, with every warning an error."""
    interpreter = python(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} on this machine")
    done = subprocess.run(
        [interpreter, "-I", "-S", "-B", "-W", "error", "-c", SCRIPT, str(SDK.parent)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.decode(), done.stdout.decode()) == (0, "", "train_steps_total\n")


def test_it_is_part_of_the_distribution() -> None:
    """Whoever installs carbonzeus can import it."""
    assert '"sdk/carbonzeus"' in (ROOT / "pyproject.toml").read_text()
