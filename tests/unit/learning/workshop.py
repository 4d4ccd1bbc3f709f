"""A job of a cluster as values, whose boards hold what the operator decides: rounds, records and plans, without any I/O."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from carbonzeus_operator.decide import JobDecision, reconcile
from carbonzeus_operator.learning.memory import as_text
from carbonzeus_operator.run import Run, report_key, with_cursor
from carbonzeus_operator.studying import study
from carbonzeus_operator.waiting import watched
from carbonzeus_operator.world.objects import Job, Key, Pod
from carbonzeus_operator.world.snapshot import NodeView, Rules, Snapshot
from carbonzeus_wire import EnergyRecord, PodPlan, Quality
from tests.unit.operator import world
from tests.unit.operator.world import NOON

LEDGER = "ledger-1"
RATE = 20.0
"""Steps a second at the reference limit."""
SM_MHZ, MEMORY_MHZ = 1740.0, 7250.0
IDLE_W = 30.0
"""What a board draws that waits."""
USUAL_S = 300.0
"""Records are so long where nobody asks for shorter ones."""


@dataclass
class Workshop:
    """One job on nodes with one GPU each. `minutes` lets time pass."""

    truth: Mapping[float, tuple[float, float]]
    """By limit [W]: average power [W] and r; straight between them."""
    workers: int = 1
    counts: bool = True
    noise: float = 0.0003
    """Of ln rate in a minute."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    every_s: float = 60.0
    """Between the operator's rounds."""
    seed: int = 1
    now: datetime = NOON
    profiles: dict[Key, Any] = field(default_factory=dict)
    learned: dict[Key, Any] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    decision: JobDecision | None = None
    pushed: dict[str, PodPlan] = field(default_factory=dict)
    """By pod UID, what its agent follows."""
    work_s: float = 0.0
    """Really done [s at the reference limit, the boards being what they are]."""
    most_behind_s: float = 0.0
    speeds: Sequence[float] = ()
    """Of each worker's board, relative to a good one; empty: all are good ones."""
    joules: dict[int, float] = field(default_factory=dict)
    """Really drawn, by worker."""
    steps: float = 0.0
    """Really made."""
    held: list[tuple[datetime, datetime, float]] = field(default_factory=list)
    """The leader's limits as they were held."""
    _stretches: list[tuple[datetime, datetime, tuple[float, ...], tuple[float, ...]]] = field(default_factory=list)
    """Limits and board speeds of all workers."""
    _seq: int = 0
    _open: datetime = NOON
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        asked = {"progress": "port=9100,metric=steps"} if self.counts else {}
        job = world.job(workers=self.workers, **(asked | dict(self.annotations)))
        given = {key: value for key, value in job.annotations.items() if not key.endswith("/profile")}
        given |= {key: value for key, value in job.annotations.items() if "profile" in self.annotations}
        self.job: Job = replace(job, annotations=given, fingerprint="0123456789abcdef", workload="resnet:v1")
        self.run = Run(self.job, report_key(self.job))
        self.begin = self.now

    @property
    def pods(self) -> list[Pod]:
        pods = [world.pod(f"w-{number}", f"n{number}") for number in range(self.workers)]
        return [replace(pod, started_at=self.begin) for pod in pods]

    def snapshot(self) -> Snapshot:
        """What the operator sees now."""
        nodes = {
            f"n{number}": NodeView(
                f"n{number}", "us-west-1", (world.gpu(f"GPU-{number}", f"ml/w-{number}"),), problem=None
            )
            for number in range(self.workers)
        }
        return world.cluster(
            self.run.view(self.pods),
            now=self.now,
            nodes=nodes,
            policies={"gentle": world.policy(**self.policy)},
            profiles=self.profiles,
            learned=self.learned,
            grid={world.ZONE: world.grid(issued=self.now.replace(minute=0, second=0, microsecond=0), hours=96)},
        )

    def round(self) -> JobDecision:
        """One round of the operator."""
        snapshot = self.snapshot()
        self.run.observe(self.pods, snapshot.nodes, self.now)
        study(self.run, self.pods, snapshot, self.rules)
        self.run.agree(self.pods, snapshot)
        self.run.watch = watched(self.run.watch, self.run.view(self.pods), snapshot, self.rules)
        if LEDGER not in self.run.account.cursors:
            with_cursor(self.run, LEDGER, 0)
        self.run.fold(LEDGER, self._closed(), series=())
        (decision,) = reconcile(self.snapshot(), self.rules).jobs
        self.run.decided(decision.active)
        self.pushed = {plan.pod_uid: plan for _, plan in decision.pod_plans}
        self.decision = decision
        return decision

    def minutes(self, count: float) -> None:
        """Rounds as the operator makes them: each minute, and when a window is over."""
        until = self.now + timedelta(minutes=count)
        while self.now < until:
            self.round()
            wait = timedelta(seconds=self.every_s)
            end = self.run.window_end()
            if end is not None:
                wait = min(wait, max(end - self.now, timedelta()) + timedelta(seconds=2))
            self._pass(wait)

    def operator_restarts(self) -> None:
        """A new process, with what the report keeps."""
        assert self.run.study is not None
        fresh = Run(self.job, self.run.key, account=self.run.account, ledgers=set(self.run.ledgers))
        fresh.learned = as_text(self.run.study)
        self.run = fresh

    def limit_at(self, instant: datetime, worker: int = 0) -> float:
        """What an agent holds [W]."""
        plan = self.pushed.get(f"uid-w-{worker}")
        steps = [step for step in plan.steps if step.at <= instant] if plan is not None else []
        return steps[-1].limit_watts if steps else 300.0

    def limits(self) -> tuple[float, ...]:
        """What the agents hold now [W], by worker."""
        return tuple(self.limit_at(self.now, worker) for worker in range(self.workers))

    def at(self, limit_w: float) -> tuple[float, float]:
        """(average power [W], r), the truth."""
        limits = sorted(self.truth)
        low = max((one for one in limits if one <= limit_w), default=limits[0])
        high = min((one for one in limits if one >= limit_w), default=limits[-1])
        share = (limit_w - low) / (high - low) if high > low else 0.0
        (low_w, low_r), (high_w, high_r) = self.truth[low], self.truth[high]
        return low_w + share * (high_w - low_w), low_r + share * (high_r - low_r)

    def _pass(self, length: timedelta) -> None:
        end = self.now + length
        while self.now < end:
            ahead = [step.at for plan in self.pushed.values() for step in plan.steps if self.now < step.at < end]
            upto = min([*ahead, end])
            limits_w, speeds = self.limits(), self._speeds()
            seconds, pace = (upto - self.now).total_seconds(), self._pace(limits_w, speeds)
            self.work_s += seconds * pace / min(speeds)
            self.steps += seconds * pace * RATE
            for worker in range(self.workers):
                watts = self._watts(limits_w[worker], speeds[worker], pace)
                self.joules[worker] = self.joules.get(worker, 0.0) + seconds * watts
            if self.held and self.held[-1][2] == limits_w[0]:
                self.held[-1] = (self.held[-1][0], upto, limits_w[0])
            else:
                self.held.append((self.now, upto, limits_w[0]))
            if self._stretches and self._stretches[-1][2:] == (limits_w, speeds):
                self._stretches[-1] = (self._stretches[-1][0], upto, limits_w, speeds)
            else:
                self._stretches.append((self.now, upto, limits_w, speeds))
            self.now = upto
            elapsed_s = (self.now - self.begin).total_seconds()
            slowdown = 0.03 if "maxSlowdown" not in self.policy else float(self.policy["maxSlowdown"].rstrip("%")) / 100
            self.most_behind_s = max(self.most_behind_s, elapsed_s / (1 + slowdown) - self.work_s)

    def _speeds(self) -> tuple[float, ...]:
        return tuple(self.speeds) or (1.0,) * self.workers

    def _pace(self, limits_w: Sequence[float], speeds: Sequence[float]) -> float:
        """All step with the slowest."""
        return min(speed * self.at(limit_w)[1] for limit_w, speed in zip(limits_w, speeds, strict=True))

    def _watts(self, limit_w: float, speed: float, pace: float) -> float:
        watts, r = self.at(limit_w)
        return IDLE_W + pace / (speed * r) * (watts - IDLE_W)

    def _closed(self) -> list[EnergyRecord]:
        """The records that agents have closed since they were last asked."""
        plan = self.pushed.get("uid-w-0")
        every_s = (plan.record_seconds if plan is not None else None) or USUAL_S
        records: list[EnergyRecord] = []
        for start, end, limits_w, speeds in self._pieces(every_s):
            records += self._of_all_workers(start, end, limits_w, speeds)
        return records

    def _pieces(self, every_s: float) -> Iterator[tuple[datetime, datetime, tuple[float, ...], tuple[float, ...]]]:
        for begin, end, limits_w, speeds in self._stretches:
            changed = end < self.now
            start = max(begin, self._open)
            while start < end:
                passed_s = (start - NOON).total_seconds()
                mark = NOON + timedelta(seconds=(passed_s // every_s + 1) * every_s)
                upto = min(mark, end)
                if upto == end and not changed and mark > end:
                    return
                yield start, upto, limits_w, speeds
                self._open = start = upto

    def _of_all_workers(
        self, start: datetime, end: datetime, limits_w: Sequence[float], speeds: Sequence[float]
    ) -> Iterator[EnergyRecord]:
        seconds = (end - start).total_seconds()
        pace = self._pace(limits_w, speeds)
        rate = RATE * pace * (1 + self._rng.gauss(0, self.noise * (60 / seconds) ** 0.5))
        for number, (limit_w, speed) in enumerate(zip(limits_w, speeds, strict=True)):
            own = speed * self.at(limit_w)[1]
            self._seq += 1
            yield EnergyRecord(
                seq=self._seq,
                gpu_uuid=f"GPU-{number}",
                pod_uid=f"uid-w-{number}",
                pod=f"ml/w-{number}",
                start=start,
                end=end,
                limit_watts=limit_w,
                energy_millijoules=round(self._watts(limit_w, speed, pace) * seconds * 1000),
                progress=round(rate * seconds, 1) if self.counts and number == 0 else None,
                mean_sm_clock_mhz=round(SM_MHZ * own**2, 1),
                mean_memory_clock_mhz=MEMORY_MHZ,
                mean_utilization=round(0.98 * pace / own, 4),
                quality=Quality.COUNTER,
            )
