"""The demo from curtain to curtain, on a cluster that is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from rich.console import Console
from rich.live import Live

from carbonzeus_bed.api import Object, wait_until
from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo import view
from carbonzeus_bed.demo.checks import Evidence
from carbonzeus_bed.demo.frame import PYTORCHJOBS, Boards, Frame, look
from carbonzeus_bed.demo.recording import FILE, Recording, Replay
from carbonzeus_bed.demo.scenario import (
    CHART,
    JOBS,
    LEAD,
    NAMESPACE,
    PLAYS,
    RELEASE,
    SPEED,
    STARTING,
    documents,
    grace_s,
    jobs,
    max_slowdown,
    values,
)
from carbonzeus_bed.truth import Truth

LOOK_S = 0.5
LINE_S = 5.0
INSTALLED_S = 30.0
LOG_LINES = 5
SETTLED = timedelta(seconds=30)
"""After the replay: how long the last job may take to end and its report to become final."""


class Stuck(Exception):
    """Something did not happen in time; the message says what, and where to look."""


@dataclass(slots=True)
class Play:
    """One performance. The parts in order: `install`, `submit`, `watch`, `evidence`."""

    cluster: Cluster
    boards: Boards
    console: Console
    recording: Recording = field(default_factory=lambda: Recording.parse(FILE.read_text(encoding="utf-8")))
    prior_w: dict[str, float] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    _replay: Replay | None = None

    @property
    def replay(self) -> Replay:
        """The clock, known from the installation on."""
        if self._replay is None:
            raise RuntimeError("not installed yet")
        return self._replay

    def install(self) -> None:
        """The chart with helm, the policy, the profiles; returns when operator and agents are ready."""
        self.prior_w = self.boards.by_uuid()
        wall_start = (datetime.now(UTC) + LEAD).replace(microsecond=0)
        self._replay = Replay(self.recording.start, wall_start, SPEED)
        given = self._write("values.yaml", values(self.replay))
        self.cluster.helm(
            "install", RELEASE, str(CHART), "--namespace", RELEASE, "--create-namespace", "--values", str(given)
        )
        self._apply(self._write("policy.yaml", *documents("policy.yaml")))
        self._apply(self._write("profiles.yaml", *documents("profiles.yaml")))
        if not wait_until(self._ready, INSTALLED_S):
            raise Stuck(self._why_not_ready())

    def submit(self) -> None:
        """The three jobs, as the replay begins."""
        time.sleep(max(0.0, (self.replay.wall_start - datetime.now(UTC)).total_seconds()))
        trains_from = datetime.now(UTC) + STARTING
        remaining = {job.name: self.replay.wall_start + job.ends - trains_from for job in JOBS}
        manifests = jobs(remaining)
        self._write("jobs.yaml", *manifests)
        for manifest in manifests:
            self.cluster.api.create(PYTORCHJOBS, manifest)

    def watch(self) -> None:
        """Shows what happens until every managed job has its final report."""
        deadline = self.replay.wall_start + PLAYS + SETTLED
        with self._screen() as show:
            while True:
                frame = look(self.cluster, self.boards, self.recording, self.replay)
                self.frames.append(frame)
                show(frame)
                if self._over(frame):
                    return
                if frame.at > deadline:
                    raise Stuck(f"not everything ended {SETTLED.seconds} s after the replay: {view.line(frame)}")
                time.sleep(LOOK_S)

    def evidence(self) -> Evidence:
        """What the checks look at."""
        return Evidence(
            jobs=JOBS,
            reports=self.frames[-1].reports,
            truth=Truth.read(self.cluster.state_dir / "truth"),
            writes=self.boards.writes(),
            grid=self.replay.on_wall(self.recording.actual),
            prior_w=self.prior_w,
            final_w=self.boards.by_uuid(),
            slowdown=max_slowdown(),
            grace_s=grace_s(),
        )

    def _over(self, frame: Frame) -> bool:
        reports = frame.reports
        closed = all(job.name in reports and reports[job.name].closed for job in JOBS if job.managed)
        ended = all(phase == "Succeeded" for phase in frame.phases.values())
        return closed and ended and self.boards.by_uuid() == self.prior_w

    def _ready(self) -> bool:
        wanted = 1 + sum(1 for node in self.cluster.nodes if node.gpus)
        return [_is_ready(pod) for pod in self._pods()] == wanted * [True]

    def _why_not_ready(self) -> str:
        waiting = [pod["metadata"]["name"] for pod in self._pods() if not _is_ready(pod)]
        logs = {pod: self.cluster.pods(RELEASE).log(pod).splitlines()[-LOG_LINES:] for pod in waiting}
        said = "\n".join(line for pod, lines in logs.items() for line in (f"{pod}:", *lines)) or self.cluster.kubectl(
            "get", "pods,deployments,daemonsets", "--namespace", RELEASE
        )
        return f"operator and agents are not ready after {INSTALLED_S:.0f} s. Logs are in {self.cluster.processes.log_dir}\n{said}"

    def _pods(self) -> list[Object]:
        return list(self.cluster.api.get(f"/api/v1/namespaces/{RELEASE}/pods")["items"])

    def _write(self, name: str, *objects: object) -> Path:
        """Into the folder `played`, so that everything can be looked at and used again."""
        path = self.cluster.state_dir / "played" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump_all(objects, sort_keys=False), encoding="utf-8")
        return path

    def _apply(self, path: Path) -> None:
        self.cluster.kubectl("apply", "--namespace", NAMESPACE, "--filename", str(path))

    @contextmanager
    def _screen(self) -> Iterator[Callable[[Frame], None]]:
        if self.console.is_terminal:
            low = min(each.gco2_per_kwh for each in self.recording.actual)
            high = max(each.gco2_per_kwh for each in self.recording.actual)
            with Live(console=self.console, auto_refresh=False) as live:
                yield lambda frame: live.update(view.render(frame, low, high), refresh=True)
            return
        shown_at = datetime.fromtimestamp(0, UTC)

        def print_sometimes(frame: Frame) -> None:
            nonlocal shown_at
            if frame.at - shown_at >= timedelta(seconds=LINE_S):
                shown_at = frame.at
                print(view.line(frame), flush=True)

        yield print_sometimes


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
