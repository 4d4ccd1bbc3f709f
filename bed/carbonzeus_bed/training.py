"""Emulated training: jobs that step at their slowest GPU's pace, and the metrics endpoint of each of their pods."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from carbonzeus_bed.pods import COUNTS, WHOLE, Pod

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Job:
    """A training job: the pods that are there now, and how far it came. It goes on where it was when its pods return."""

    name: str
    uid: str
    pods: list[Pod] = field(default_factory=list)
    steps: float = 0.0

    @property
    def planned(self) -> int | None:
        return next((pod.steps for pod in self.pods if pod.steps is not None), None)

    @property
    def complete(self) -> bool:
        return self.planned is not None and self.steps >= self.planned

    @property
    def running(self) -> bool:
        """Whether it trains: all of its workers are there and running, and there is something left to do."""
        alive = [pod for pod in self.pods if not pod.finished]
        enough = len(alive) >= max((pod.workers for pod in alive), default=1)
        return enough and all(pod.running for pod in alive) and not self.complete

    def advance(self, seconds: float, pace: float) -> None:
        """`seconds` more at `pace`, relative to the speed at the default limit."""
        steps = self.steps + seconds * pace * self.pods[0].steps_per_second
        self.steps = steps if self.planned is None else min(steps, self.planned)


class Training:
    """All jobs whose pods ask for GPUs, by UID."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}

    def update(self, pods: Iterable[Pod]) -> None:
        """The pods of the bed as they are now."""
        for job in self.jobs.values():
            job.pods = []
        for pod in pods:
            job = self.jobs.setdefault(pod.job_uid, Job(pod.job, pod.job_uid))
            job.pods.append(pod)
        for uid in [uid for uid, job in self.jobs.items() if not job.steps and not sum(pod.gpus for pod in job.pods)]:
            del self.jobs[uid]


def exposition(job: Job, counts: str = WHOLE) -> str:
    """The Prometheus text that a worker of `job` serves which counts so: one of `pods.COUNTS`. It is never ahead."""
    decimals = COUNTS[counts]
    done = int(job.steps * 10**decimals) / 10**decimals
    lines = [
        "# HELP train_steps_total Training steps done.",
        "# TYPE train_steps_total counter",
        f"train_steps_total {done:.{decimals}f}",
    ]
    if job.planned is not None:
        lines += [
            "# HELP train_steps_planned Training steps in all.",
            "# TYPE train_steps_planned gauge",
            f"train_steps_planned {job.planned}",
        ]
    return "\n".join(lines) + "\n"


class Endpoints:
    """An HTTP server on the own address of every pod that trains, as its training script would start one."""

    def __init__(self, find: Callable[[str], Job | None]) -> None:
        """`find` gives the job of a job UID."""
        self._find = find
        self._open: dict[tuple[str, int], tuple[str, web.ServerRunner]] = {}

    @property
    def addresses(self) -> frozenset[tuple[str, int]]:
        """Where a pod answers."""
        return frozenset(self._open)

    async def sync(self, pods: Iterable[Pod]) -> None:
        """Opens what is missing and closes what is too many. An address that is still taken is tried again next time."""
        wanted: Mapping[tuple[str, int], Pod] = {
            (pod.ip, pod.metrics_port): pod for pod in pods if pod.running and pod.ip and pod.gpus
        }
        for address, (uid, runner) in list(self._open.items()):
            if address not in wanted or wanted[address].uid != uid:
                del self._open[address]
                await runner.cleanup()
        for address, pod in wanted.items():
            if address not in self._open:
                await self._start(address, pod)

    async def close(self) -> None:
        await self.sync(())

    async def _start(self, address: tuple[str, int], pod: Pod) -> None:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            job = self._find(pod.job_uid)
            if request.path != "/metrics" or job is None:
                return web.Response(status=404)
            return web.Response(text=exposition(job, pod.counts), content_type="text/plain", charset="utf-8")

        runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, *address, reuse_address=True).start()
        except OSError as error:
            log.warning("pod %s cannot listen on %s:%d yet: %s", pod.full_name, *address, error)
            await runner.cleanup()
            return
        self._open[address] = (pod.uid, runner)
