"""The programs of the bed, built once from pinned Go modules into a cache outside the checkout."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

GO_DIR = Path(__file__).resolve().parent.parent / "go"

MODULE_OF = {
    "etcd": "etcd",
    "kube-apiserver": "kubernetes",
    "kube-controller-manager": "kubernetes",
    "kube-scheduler": "kubernetes",
    "kubectl": "kubernetes",
    "kwok": "kwok",
    "training-operator.v1": "trainer",
    "helm": "helm",
}


def cache_dir() -> Path:
    """The cache folder, the same that `bed/go/build.sh` uses."""
    if chosen := os.environ.get("CARBONZEUS_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "carbonzeus"


def module_dir(module: str) -> Path:
    """Where one Go module's programs lie: the key changes with its pins, so that checkouts do not disturb each other."""
    pins = (GO_DIR / module / "go.mod").read_bytes() + (GO_DIR / module / "go.sum").read_bytes()
    return cache_dir() / "modules" / f"{module}-{hashlib.sha256(pins).hexdigest()[:16]}"


def program(name: str) -> Path:
    """The path of a built program; `FileNotFoundError` says how to build it."""
    folder = module_dir(MODULE_OF[name])
    if not (folder / "complete").exists():
        raise FileNotFoundError(
            f"{name} is not built for this checkout: run `make bed-build` (or bed/go/build.sh) once"
        )
    return folder / name


def data(module: str) -> Path:
    """The manifests that a module ships beside its code (`trainer`, `kwok`)."""
    return module_dir(module) / "data"


def built() -> bool:
    """Whether every program of this checkout's pins is there."""
    return all((module_dir(module) / "complete").exists() for module in set(MODULE_OF.values()))


def build() -> None:
    """Build what is missing; progress goes to standard error. Minutes the first time, nothing after."""
    if not built():
        subprocess.run(["bash", str(GO_DIR / "build.sh")], check=True)
