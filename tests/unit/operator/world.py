"""A small cluster as values, for tests of decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.grid.view import GridView
from carbonzeus_operator.resources.policy import CarbonPolicySpec
from carbonzeus_operator.resources.profile import PowerProfileSpec
from carbonzeus_operator.world.objects import Job, Key, Pod
from carbonzeus_operator.world.snapshot import JobView, NodeView, Rules, Snapshot
from carbonzeus_wire import GpuState

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = Rules()
ZONE = ("US-CAL-CISO", Signal.AVERAGE)

# Zeus's NSDI'23 trace of ResNet50, batch 128, on an A40 (Apache-2.0): limit, average power, relative throughput.
A40 = (
    (150, "144.4", "0.608"),
    (175, "160.9", "0.838"),
    (200, "179.2", "0.936"),
    (225, "198.4", "0.968"),
    (250, "216.2", "0.983"),
    (275, "230.8", "0.990"),
    (300, "244.3", "1.000"),
)


def profile(**more: Any) -> PowerProfileSpec:
    points = [{"limitWatts": limit, "averageWatts": watts, "throughput": speed} for limit, watts, speed in A40]
    return PowerProfileSpec.model_validate({"gpuProduct": "NVIDIA A40", "points": points, **more})


def policy(**more: Any) -> CarbonPolicySpec:
    knob = {} if "carbonWeight" in more else {"maxSlowdown": "3%"}
    return CarbonPolicySpec.model_validate({"zone": "US-CAL-CISO", **knob, **more})


def job(name: str = "train", *, workers: int = 1, **annotations: str) -> Job:
    asked = {"policy": "gentle", "profile": "a40"} | annotations
    return Job(
        key=Key("ml", name),
        uid=f"uid-{name}",
        api_version="kubeflow.org/v1",
        kind="PyTorchJob",
        annotations={f"carbonzeus.dev/{key.replace('_', '-')}": value for key, value in asked.items()},
        workers=workers,
        suspended=False,
        finished_at=None,
        succeeded=False,
        created_at=NOON,
    )


def pod(name: str, node: str, *, of: str = "uid-train", running: bool = True, gpus: int = 1) -> Pod:
    return Pod(
        key=Key("ml", name),
        uid=f"uid-{name}",
        job_uid=of,
        role=f"worker-{name[-1]}",
        node=node,
        ip="127.0.1.9",
        gpus=gpus,
        running=running,
        started_at=NOON if running else None,
        finished_at=None,
    )


def gpu(uuid: str, *owners: str, limit_w: float = 300.0) -> GpuState:
    return GpuState(
        uuid=uuid,
        product="NVIDIA A40",
        default_limit_watts=300,
        minimum_limit_watts=100,
        maximum_limit_watts=300,
        limit_watts=limit_w,
        reference_limit_watts=300,
        pods=owners,
    )


def grid(*, issued: datetime = NOON, problem: str | None = None, hours: int = 48) -> GridView:
    intervals = tuple(
        Interval(NOON + timedelta(hours=hour), NOON + timedelta(hours=hour + 1), 200.0 + 150.0 * (hour % 2))
        for hour in range(hours)
    )
    series = Series("US-CAL-CISO", Signal.AVERAGE, Factor.LIFECYCLE, "File", issued, intervals)
    return GridView(forecast=series, actual=None, problem=problem, stale_for_s=0.0)


def cluster(view: JobView | None = None, **more: Any) -> Snapshot:
    """One job of one worker with one GPU on node n1, at noon."""
    view = view or JobView(job(), (pod("w-0", "n1"),))
    defaults: dict[str, Any] = {
        "now": NOON,
        "jobs": (view,),
        "policies": {"gentle": policy()},
        "profiles": {Key("ml", "a40"): profile()},
        "nodes": {"n1": NodeView("n1", "us-west-1", (gpu("GPU-1", "ml/w-0"),), problem=None)},
        "grid": {ZONE: grid()},
    }
    return Snapshot(**(defaults | more))


def later(snapshot: Snapshot, view: JobView, **passed: float) -> Snapshot:
    """The same cluster some time on."""
    return replace(snapshot, now=snapshot.now + timedelta(**passed), jobs=(view,))
