"""What the agent counts about itself, for /metrics."""

from __future__ import annotations

from bisect import bisect_right

from prometheus_client import CollectorRegistry, Counter, Histogram

from carbonzeus_agent.post import Visit
from carbonzeus_wire import PodPlan

FRESH_S = 5.0
"""A write later than this after its step is a plan that came late, not a late switch."""


class Tally:
    """Counters in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.writes = Counter(
            "carbonzeus_agent_writes",
            "Power limits written, by what came of it.",
            ["gpu", "outcome"],
            registry=self.registry,
        )
        self.overrides = Counter(
            "carbonzeus_agent_overrides",
            "Times that a limit was found set by somebody else.",
            ["gpu"],
            registry=self.registry,
        )
        self.lateness = Histogram(
            "carbonzeus_agent_switch_lateness_seconds",
            "From the planned instant of a step to the limit being written.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
            registry=self.registry,
        )
        self.requests = Counter(
            "carbonzeus_agent_plan_requests",
            "Plan requests, by what came of them.",
            ["result"],
            registry=self.registry,
        )

    def visited(self, gpu: str, visit: Visit, plan: PodPlan | None) -> None:
        """Count what a visit wrote, and what it found set by somebody else."""
        if visit.settled is None:
            return
        if visit.settled.foreign_w is not None:
            self.overrides.labels(gpu=gpu).inc()
        if visit.settled.written_at is None:
            return
        self.writes.labels(gpu=gpu, outcome=str(visit.settled.outcome)).inc()
        if plan is None or visit.aim.limit_w is None:
            return
        at = visit.settled.written_at
        index = bisect_right(plan.steps, at, key=lambda step: step.at)
        late_s = (at - plan.steps[index - 1].at).total_seconds() if index else FRESH_S
        if late_s < FRESH_S:
            self.lateness.observe(late_s)
