"""Our side: the real node agent on an emulated board, and a job's curve learned from the energy records that it hands out.

What the operator does with a job is done here by a loop: read records, learn, ask what to measure next or plan, push. Time of the job is
`speed` times the time on the wall (see zeus_stage): records come in as so many seconds of the job.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.zeus_stage import QuickStage

from carbonzeus_bed.agentprocess import AgentProcess, free_ports
from carbonzeus_cli.simulate.learning import means
from carbonzeus_operator.following import Course, follow
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.learning.course import learned_rules, record_length_s
from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.estimator import Learner
from carbonzeus_operator.plan.estimator_windows import Observation
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.prior import Prior
from carbonzeus_operator.plan.profiling import Why, Window, next_window
from carbonzeus_operator.plan.schedule import in_force
from carbonzeus_operator.world.snapshot import Measured, Rules
from carbonzeus_wire import EnergyPage, EnergyRecord, Quality

POD = "worker"
USUAL_RECORD_S = 300.0
"""Of the job: a record ends at least so often, and more often while something is measured, as operators have it."""
EDGE_S = 0.5
"""Of the job: a window that was told of up to so shortly before its end is over."""
SHORTEST_RECORD_S = 0.1
"""Of the wall: an agent makes no shorter ones."""
LEASE_S = 900.0
POLL_S = 0.03
LATE_S = 10.0
"""Of the wall: a record that is later than this will not come."""
HOUR = timedelta(hours=1)
INTENSITY = 300.0
"""gCO2eq/kWh, all the time: Zeus knows no grid, so there is none to follow."""


@dataclass(frozen=True, slots=True)
class Held:
    """A window as it was held, seconds of the job since it began."""

    begin_s: float
    end_s: float
    window: Window


@dataclass(slots=True)
class Ours:
    """A job whose curve is learned."""

    stage: QuickStage
    agent: AgentProcess
    product: str
    port: int
    slowdown: float
    rules: Rules
    learner: Learner
    windows: list[Held] = field(default_factory=list)
    chosen_w: float = math.inf
    """The lowest limit that any plan held."""
    most_known: int = 0
    """How many limits were known at most."""
    settled_s: float = 0.0
    """When that became so, seconds of the job."""
    began_ns: int = 0
    """When the first record with progress began."""
    _after: int = 0

    def run(self, seconds: float) -> None:
        """Train for so many seconds of the job."""
        self._push()
        self._wait_until_told(0.0)
        while self.learner.elapsed_s < seconds:
            begin_s = self._now_s()
            window = next_window(self.learner, means(self.learner, self.rules, self.slowdown, self.rules.survival_s))
            if window is not None:
                known = len(self.learner.known)
                if window.limit_w == self._reference_w:
                    # Nothing ends its last record but the clock.
                    self._push(measuring=True)
                    self._wait_until_told(self.learner.elapsed_s + window.seconds - EDGE_S)
                else:
                    end_s = begin_s + window.seconds
                    self._push((begin_s, window.limit_w), (end_s, self._reference_w), measuring=True)
                    self._wait_until_told(end_s - EDGE_S)
                now_s = self._now_s()
                self.windows.append(Held(begin_s, now_s, window))
                if len(self.learner.known) > max(known, self.most_known):
                    self.most_known, self.settled_s = len(self.learner.known), now_s
            else:
                planned = self._planned(begin_s)
                self.chosen_w = min((self.chosen_w, *(limit_w for _, limit_w in planned)))
                self._push(*planned)
                self._wait_until_told(self.learner.elapsed_s + self.rules.replan.total_seconds() - EDGE_S)

    def _planned(self, begin_s: float) -> list[tuple[float, float]]:
        """Steps of the plan from now on: (seconds of the job, limit)."""
        curve = self.learner.careful
        if curve is None:
            return []
        rules = learned_rules(self.rules, self.learner)
        now = self._at(begin_s)
        hours = (now + each * HOUR for each in range(-1, rules.horizon // HOUR + 1))
        ahead = tuple(Interval(hour, hour + HOUR, INTENSITY) for hour in hours)
        flat = Series("flat", Signal.AVERAGE, Factor.LIFECYCLE, "flat", now, ahead)
        elapsed_s = self.learner.elapsed_s
        measured = Measured(elapsed_s, self.learner.work_s, now)
        active = follow(None, measured, self._course(curve), flat, rules, now, fresh=True)
        until = now + 2 * rules.replan
        return [
            ((begin - self._at(0.0)).total_seconds(), step.limits_w[self.product])
            for begin, _, step in in_force(active.timeline, now, until)
            if step is not None
        ]

    def _course(self, curve: Curve) -> Course:
        return Course(fleet={self.product: Group(curve, 1)}, slowdown=self.slowdown)

    @property
    def _reference_w(self) -> float:
        return self.learner.prior.reference_limit_w

    def _now_s(self) -> float:
        return (time.time_ns() - self.began_ns) / 1e9 * self.stage.speed

    def _at(self, job_s: float) -> datetime:
        """The job's own calendar: it begins at some midnight."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=job_s)

    def _push(self, *steps: tuple[float, float], measuring: bool = False) -> None:
        plan = self.agent.plan(POD, podIP="127.0.0.1", progress={"port": self.port, "metric": "train_steps_total"})
        # Two moments of the job may be one microsecond on the wall.
        walls = {round(self.began_ns / 1e3 + at_s / self.stage.speed * 1e6): limit_w for at_s, limit_w in steps}
        plan["steps"] = [
            {"at": (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)).isoformat(), "limitWatts": limit_w}
            for at_us, limit_w in sorted(walls.items())
        ]
        record_s = record_length_s(self.learner, measuring=measuring)
        if record_s is not None:
            plan["recordSeconds"] = max(record_s / self.stage.speed, SHORTEST_RECORD_S)
        self.agent.push(plan, lease_s=LEASE_S)

    def _wait_until_told(self, job_s: float) -> None:
        """Learn from the records as they close, until they reach a moment of the job. RuntimeError where they stay away."""
        due_s = max(job_s - self._now_s(), 0.0) / self.stage.speed if self.began_ns else 0.0
        give_up = time.monotonic() + due_s + USUAL_RECORD_S / self.stage.speed + LATE_S
        while not self.began_ns or self.learner.elapsed_s < max(job_s, 1e-6):
            if time.monotonic() > give_up:
                raise RuntimeError(
                    f"no energy record reaches {job_s:.0f} s of the job, the last {self.learner.elapsed_s:.0f} s"
                )
            time.sleep(POLL_S)
            for record in self._records():
                self._learn(record)

    def _records(self) -> Iterator[EnergyRecord]:
        status, text = self.agent.ask("GET", f"/v1/energy?after={self._after}&limit=100")
        assert status == 200, text
        for record in EnergyPage.model_validate_json(text).records:
            self._after = record.seq
            if record.pod_uid == f"uid-{POD}":
                yield record

    def _learn(self, record: EnergyRecord) -> None:
        if not self.began_ns:
            if record.progress is None:
                return  # the counter was not seen yet
            self.began_ns = _unix_ns(record.start)
        seconds = (record.end - record.start).total_seconds()
        assert record.limit_watts is not None
        self.learner = self.learner.observe(
            Observation(
                begin_s=max((_unix_ns(record.start) - self.began_ns) / 1e9 * self.stage.speed, self.learner.elapsed_s),
                seconds=seconds * self.stage.speed,
                limit_w=record.limit_watts,
                average_w=record.energy_millijoules / 1000 / seconds,
                steps=record.progress if record.quality is not Quality.GAP else None,
                grain=record.progress_grain if record.progress_grain is not None else 1.0,
            )
        )


def profiled(windows: list[Held], settled_s: float, reference_w: float) -> list[tuple[float, float]]:
    """When it profiled (begin, end): all windows until the last new limit was known, and later ones below the reference limit.

    But for the warm-up, in which no job is slowed by anybody.
    """
    measured = (held for held in windows if held.window.why is not Why.WARM_UP)
    return [(held.begin_s, held.end_s) for held in measured if not _is_refining(held, settled_s, reference_w)]


def refined(windows: list[Held], settled_s: float, reference_w: float) -> list[tuple[float, float]]:
    """When it held the reference limit later on, to make the curve surer."""
    return [(held.begin_s, held.end_s) for held in windows if _is_refining(held, settled_s, reference_w)]


def _is_refining(held: Held, settled_s: float, reference_w: float) -> bool:
    at_reference = held.window.limit_w >= reference_w and held.window.why is not Why.WARM_UP
    return at_reference and held.begin_s >= settled_s


def below(windows: list[Held], limit_w: float) -> list[tuple[float, float]]:
    """When it measured at lower limits than that."""
    return [(held.begin_s, held.end_s) for held in windows if held.window.limit_w < limit_w]


def start(folder: Path, lib_dir: Path, product: str, network: str, pace: float, speed: float, slowdown: float) -> Ours:
    """A node with one board, an agent on it, and a job that trains. Close agent and stage when done."""
    stage = QuickStage(folder, product, 1, speed)
    agent = AgentProcess(
        stage,
        lib_dir,
        folder / "agent.log",
        CARBONZEUS_SAMPLE_SECONDS=str(max(1 / speed, 0.02)),
        CARBONZEUS_RECORD_SECONDS=str(max(USUAL_RECORD_S / speed, 1.0)),
        CARBONZEUS_REQUESTS_PER_SECOND="1000",
    )
    (port,) = free_ports(1)
    agent.start()
    # Counted as our SDK counts: with the part of the step that is under way.
    stage.pods(stage.pod(POD, network=network, steps_per_second=pace * speed, metrics_port=port, counts="Parts"))
    board = stage.node.gpu(0)
    reference_w = board.limit_mw / 1000
    rules = Rules(replan=timedelta(minutes=15), checked=Rules().replan)
    # A policy goes down to half of the reference limit unless it says otherwise.
    learner = Learner.begin(Prior.of(product, reference_w, reference_w / 2))
    return Ours(stage, agent, product, port, slowdown, rules, learner)


def _unix_ns(instant: datetime) -> int:
    return (instant - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
