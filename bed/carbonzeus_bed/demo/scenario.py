"""What the demo plays: the files beside this one, and how long everything takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from carbonzeus_bed.demo.recording import FILE, ZONE, Replay
from carbonzeus_bed.pods import PREFIX

HERE = Path(__file__).parent
CHART = HERE.parents[2] / "charts" / "carbonzeus"
NAMESPACE = "default"
RELEASE = "carbonzeus"

DAYS = 4
PLAYS = timedelta(seconds=120)
SPEED = timedelta(days=DAYS) / PLAYS
LEAD = timedelta(seconds=9)
"""From the installation to the beginning of the replay: operator and agents come up meanwhile."""
STARTING = timedelta(seconds=1.5)
"""From the creation of a job until it trains."""
NOISE = 0.001
"""Of emulated power and speed, relative standard deviation."""

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One of the demo's jobs."""

    name: str
    managed: bool
    ends: timedelta
    """After the beginning of the replay."""
    steps_per_second: float
    """At its prior limits."""

    @property
    def full_name(self) -> str:
        return f"{NAMESPACE}/{self.name}"


SOLO = Job("resnet-solo", managed=True, ends=PLAYS * 23 / 24, steps_per_second=100)
DUO = Job("resnet-duo", managed=True, ends=PLAYS - timedelta(seconds=1), steps_per_second=400)
PLAIN = Job("resnet-plain", managed=False, ends=PLAYS - timedelta(seconds=1), steps_per_second=100)
JOBS = (SOLO, DUO, PLAIN)


def documents(name: str) -> list[Object]:
    """The objects in a file of the demo."""
    return list(yaml.safe_load_all((HERE / name).read_text(encoding="utf-8")))


def max_slowdown() -> float:
    """What the demo's policy allows, as a share."""
    (policy,) = documents("policy.yaml")
    return float(policy["spec"]["maxSlowdown"].removesuffix("%")) / 100


def grace_s() -> float:
    """What the operator allows beyond it."""
    (values,) = documents("values.yaml")
    return float(values["operator"]["settings"]["graceSeconds"])


def values(replay: Replay) -> Object:
    """The chart's values, with the recording."""
    (given,) = documents("values.yaml")
    given["grid"] |= {
        "file": {"data": {f"{ZONE}.csv": FILE.read_text(encoding="utf-8")}},
        "replay": {
            "speed": replay.speed,
            "recordedStart": replay.recorded_start.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "wallStart": replay.wall_start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }
    return dict(given)


def jobs(remaining: Mapping[str, timedelta]) -> list[Object]:
    """The PyTorchJobs, each with as many steps as it takes at the allowed slowdown to train for so long."""
    found = documents("jobs.yaml")
    for manifest in found:
        job = next(job for job in JOBS if job.name == manifest["metadata"]["name"])
        slower = 1 + max_slowdown() if job.managed else 1.0
        steps = job.steps_per_second * remaining[job.name].total_seconds() / slower
        for replica in manifest["spec"]["pytorchReplicaSpecs"].values():
            annotations = replica["template"]["metadata"]["annotations"]
            replica["template"]["metadata"]["annotations"] = annotations | {f"{PREFIX}steps": str(round(steps))}
    return found
