"""kwok: keeps the hollow nodes Ready and marks their pods Running, with loopback addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from carbonzeus_bed import programs

OWN_STAGES = Path(__file__).resolve().parent.parent / "manifests" / "carbonzeus-pods.yaml"
STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)
NOT_CARBONZEUS: dict[str, Any] = {
    "key": '.metadata.labels["app.kubernetes.io/name"]',
    "operator": "NotIn",
    "values": ["carbonzeus"],
}


def arguments(*, kubeconfig: Path, config_dir: Path, pod_cidr: str) -> list[str | Path]:
    """The command line of kwok, after writing its stages into `config_dir`."""
    config_dir.mkdir(parents=True)
    words: list[str | Path] = [
        programs.program("kwok"),
        f"--kubeconfig={kubeconfig}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        f"--cidr={pod_cidr}",
        "--node-lease-duration-seconds=40",
        f"--config={OWN_STAGES}",
    ]
    for stage in STAGES:
        path = config_dir / Path(stage).name
        path.write_text(yaml.safe_dump(_stage(programs.data("kwok") / stage)), encoding="utf-8")
        words.append(f"--config={path}")
    return words


def _stage(path: Path) -> Any:
    """A stage as kwok ships it; those of pods leave out the pods that the pod runner looks after."""
    stage = yaml.safe_load(path.read_text(encoding="utf-8"))
    if stage["spec"]["resourceRef"]["kind"] == "Pod":
        stage["spec"]["selector"]["matchExpressions"].append(NOT_CARBONZEUS)
    return stage
