"""Everything a decision is made from, at one moment, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.grid.view import GridView
from carbonzeus_operator.learning.study import Study
from carbonzeus_operator.plan.profiling import Window
from carbonzeus_operator.plan.schedule import Plan, PlanStep, step_at
from carbonzeus_operator.plan.stragglers import Need
from carbonzeus_operator.resources.policy import CarbonPolicySpec
from carbonzeus_operator.resources.profile import PowerProfileSpec, PowerProfileStatus
from carbonzeus_operator.world.objects import Job, Key, Pod
from carbonzeus_wire import GpuState, PlanReply


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node with GPUs, and its agent as last heard."""

    name: str
    region: str | None = None
    gpus: tuple[GpuState, ...] = ()
    """Empty before its agent answered once."""
    problem: str | None = "no agent is running on this node"
    """Why its agent does not answer now; None if it does."""
    reply: PlanReply | None = None
    """What became of the last push."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured of a job so far."""

    elapsed_s: float = 0.0
    work_s: float = 0.0
    """At the reference limit."""
    until: datetime | None = None
    """Up to when; None before the first record."""


@dataclass(frozen=True, slots=True)
class ActivePlan:
    """The plan a job follows."""

    plan: Plan
    basis: object
    """What it was made from beside time and credit. A different basis asks for a new plan."""
    timeline: tuple[PlanStep, ...]
    """The steps followed since the last measurement, then those of the plan."""
    window: Window | None = None
    """What the plan was made to measure; None: it follows the forecast."""

    def step_at(self, instant: datetime) -> PlanStep:
        """The step in force at `instant`; before all of them, the plan's first."""
        return step_at(self.timeline, instant) or self.plan.steps[0]


@dataclass(frozen=True, slots=True)
class JobView:
    """A job that opted in, or has a report."""

    job: Job
    pods: tuple[Pod, ...] = ()
    """Rank 0 first."""
    measured: Measured = Measured()
    active: ActivePlan | None = None
    past_work_s: tuple[float, ...] = ()
    """The whole work of earlier runs of the same workload that succeeded [s at the reference limit], the oldest first."""
    study: Study | None = None
    """What is learned of its curve; None where its owner named one, or nothing can be learned."""
    needs: Mapping[str, Need] = field(default_factory=dict)
    """Of workers that wait for a slower one, by pod UID: how much of the plan's speed is enough."""
    told_waiting: bool = False
    """Whether its report has told of such workers."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's settings, as far as decisions depend on them."""

    replan: timedelta = timedelta(minutes=5)
    checked: timedelta | None = None
    """How soon after a plan the next measurement is planned with; None: `replan`. For simulations that plan more seldom."""
    lease: timedelta = timedelta(minutes=15)
    switch_lead: timedelta = timedelta(seconds=2)
    """A new plan begins this far ahead, so that all agents have it when it begins."""
    round: timedelta = timedelta(minutes=1)
    """Between two looks at what was measured, at most."""
    grace_s: float = 60.0
    curve_error: float = 0.02
    """By how much a curve may overstate the throughput, at least (a share)."""
    survival_s: float = 86_400.0
    minimum_dwell: timedelta = timedelta(minutes=1)
    horizon: timedelta = timedelta(hours=96)
    zones: Mapping[str, str] = field(default_factory=dict)
    """Region to grid zone."""
    timelapse: float = 1.0
    """For how many seconds of training each second stands where curves are learned; 1 but in emulations."""

    @property
    def unseen(self) -> timedelta:
        """For how long a plan is followed at most until the next measurement is planned with."""
        return self.replan if self.checked is None else self.checked


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The cluster, the grid and the measurements at `now`."""

    now: datetime
    jobs: tuple[JobView, ...] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Annotations by namespace."""
    policies: Mapping[str, CarbonPolicySpec | InvalidSpec] = field(default_factory=dict)
    profiles: Mapping[Key, PowerProfileSpec | InvalidSpec] = field(default_factory=dict)
    learned: Mapping[Key, PowerProfileStatus | InvalidSpec | None] = field(default_factory=dict)
    """What the operator keeps in profiles that it measured."""
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    grid: Mapping[tuple[str, Signal], GridView] = field(default_factory=dict)
