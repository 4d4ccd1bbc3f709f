"""One look at everything while the demo plays: reports, boards, grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from carbonzeus_bed import gpus
from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo.ledger import Report
from carbonzeus_bed.demo.recording import Recording, Replay, at
from carbonzeus_bed.demo.scenario import JOBS, NAMESPACE

REPORTS = f"/apis/carbonzeus.dev/v1alpha1/namespaces/{NAMESPACE}/carbonreports"
PYTORCHJOBS = f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/pytorchjobs"


@dataclass(frozen=True, slots=True)
class Frame:
    """What there was to see at a moment."""

    at: datetime
    hours: float
    """Recorded time since the beginning of the replay."""
    intensity: float | None
    """The actual one, gCO2eq/kWh."""
    forecast: tuple[float, ...]
    """From now on, one value for each interval of the recording."""
    reports: Mapping[str, Report]
    """By name of the job."""
    phases: Mapping[str, str]
    """Of each job: the newest condition that holds."""
    limits_w: Mapping[str, tuple[float, ...]]
    """Real limits of the boards, by node."""


class Boards:
    """The emulated boards of a bed, opened once."""

    def __init__(self, cluster: Cluster) -> None:
        self._nodes = {
            node.name: gpus.Node(cluster.state_dir / "nodes" / node.name) for node in cluster.nodes if node.gpus
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self._nodes.values():
            node.close()

    def by_node(self) -> dict[str, tuple[float, ...]]:
        """The limits [W] of each node's boards."""
        return {name: tuple(gpu.limit_mw / 1000 for gpu in node) for name, node in self._nodes.items()}

    def by_uuid(self) -> dict[str, float]:
        """The limit [W] of each board."""
        return {gpu.uuid.decode(): gpu.limit_mw / 1000 for node in self._nodes.values() for gpu in node}

    def writes(self) -> tuple[gpus.Write, ...]:
        """Every call that would change a limit, of all nodes."""
        return tuple(write for node in self._nodes.values() for write in node.writes())


def read_reports(cluster: Cluster) -> dict[str, Report]:
    """The reports of the demo's namespace, by name of the job."""
    reports = [Report.parse(raw) for raw in cluster.api.get(REPORTS)["items"]]
    return {report.job: report for report in reports}


def look(cluster: Cluster, boards: Boards, recording: Recording, replay: Replay) -> Frame:
    """Everything as it is now."""
    now = datetime.now(UTC)
    recorded = max(replay.recorded(now), recording.start)
    ahead = [each.gco2_per_kwh for each in recording.forecast(recorded) if each.end > recorded]
    jobs = {raw["metadata"]["name"]: raw for raw in cluster.api.get(PYTORCHJOBS)["items"]}
    return Frame(
        at=now,
        hours=replay.hours(now),
        intensity=at(recording.actual, recorded),
        forecast=tuple(ahead),
        reports=read_reports(cluster),
        phases={job.name: _phase(jobs.get(job.name)) for job in JOBS},
        limits_w=boards.by_node(),
    )


def _phase(raw: dict[str, Any] | None) -> str:
    if raw is None:
        return "not there yet"
    holding = [one["type"] for one in raw.get("status", {}).get("conditions", []) if one["status"] == "True"]
    return str(holding[-1]) if holding else "Created"
