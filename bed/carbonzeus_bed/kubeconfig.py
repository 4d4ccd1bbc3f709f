"""Kubeconfig files, written as JSON (which is YAML)."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from carbonzeus_bed.certs import Pair


def write(
    path: Path,
    *,
    server: str,
    ca: str,
    user: Pair | None = None,
    token_file: Path | None = None,
    namespace: str = "default",
) -> Path:
    """Write a kubeconfig for a client certificate, or for a token that lies in a file; only its owner may read it."""
    if user is not None:
        credentials = {"client-certificate-data": _base64(user.cert), "client-key-data": _base64(user.key)}
    else:
        credentials = {"tokenFile": str(token_file)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bed", "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}],
        "users": [{"name": "user", "user": credentials}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "user", "namespace": namespace}}],
        "current-context": "bed",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return path


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
