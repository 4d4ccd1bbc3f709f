"""Prometheus metrics of the operator: what a dashboard or an alert is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from carbonzeus_operator import account as accounts
from carbonzeus_operator.decide import Decisions
from carbonzeus_operator.fleet.fleet import Fleet
from carbonzeus_operator.grid import metrics as grid_metrics
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.resources.report import ReportState
from carbonzeus_operator.runs import Runs

JOB = ("namespace", "job")
JOULES_PER_MILLIJOULE = 1e-3
GRAMS_PER_MICROGRAM = 1e-6


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.round_seconds = Histogram(
            "carbonzeus_round_seconds",
            "Time of one round: look, pull, settle, decide, push, write.",
            registry=self.registry,
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
        )
        self.failed_rounds = Counter(
            "carbonzeus_failed_rounds", "Rounds that were cut short by an error.", registry=self.registry
        )
        self.corrections = Counter(
            "carbonzeus_cache_corrections", "Lists that found the watches' picture wrong.", registry=self.registry
        )
        self.status_writes = Counter(
            "carbonzeus_report_writes", "Writes of a CarbonReport's status.", registry=self.registry
        )
        self.leading = Gauge("carbonzeus_leading", "1 while this process leads.", registry=self.registry)
        self._shown = _Shown()
        self.registry.register(self._shown)

    def watch_certificates(self, expiries: Callable[[], Mapping[str, datetime]]) -> None:
        """From now on tells when certificates end, by their names."""
        self.registry.register(_Certificates(expiries))

    def show(self, runs: Runs, decisions: Decisions, fleet: Fleet, grid: GridCache, now: datetime) -> None:
        """Takes the figures of a round that is finished now."""
        self._shown.families = [*_jobs(runs, decisions, now), *_fleet(fleet), *grid_metrics.families(grid)]


class _Shown(Collector):
    """Figures that come and go with their jobs."""

    def __init__(self) -> None:
        self.families: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        return self.families


class _Certificates(Collector):
    """When certificates end, asked whenever somebody looks."""

    def __init__(self, expiries: Callable[[], Mapping[str, datetime]]) -> None:
        self._expiries = expiries

    def collect(self) -> Iterable[Metric]:
        ends = GaugeMetricFamily(
            "carbonzeus_certificate_expiry_timestamp_seconds",
            "When a certificate is no longer valid: the operator's, the agents' and their authority's.",
            labels=("certificate",),
        )
        for name, end in sorted(self._expiries().items()):
            ends.add_metric((name,), end.timestamp())
        return [ends]


def _jobs(runs: Runs, decisions: Decisions, now: datetime) -> list[Metric]:
    energy = GaugeMetricFamily("carbonzeus_job_energy_joules", "Energy measured at the job's GPUs.", labels=JOB)
    carbon = GaugeMetricFamily("carbonzeus_job_carbon_grams", "Carbon emitted so far, CO2 equivalent.", labels=JOB)
    baseline = GaugeMetricFamily(
        "carbonzeus_job_baseline_grams", "Carbon of the same work at the reference limit.", labels=JOB
    )
    behind = GaugeMetricFamily("carbonzeus_job_slowdown_ratio", "Elapsed over work, less one.", labels=JOB)
    limit = GaugeMetricFamily(
        "carbonzeus_job_limit_watts",
        "Power limit of the plan at the last round, by GPU product.",
        labels=(*JOB, "product"),
    )
    states = GaugeMetricFamily("carbonzeus_jobs", "Jobs by state.", labels=("state",))
    conditions = GaugeMetricFamily(
        "carbonzeus_job_condition", "1 where the condition holds, 0 where not.", labels=(*JOB, "type", "reason")
    )
    by_uid = {run.job.uid: run for run in runs.by_key.values()}
    count = dict.fromkeys(ReportState, 0)
    for decision in decisions.jobs:
        run = by_uid[decision.view.job.uid]
        labels = (run.job.key.namespace, run.job.key.name)
        count[decision.state] += 1
        said = accounts.figures(run.account, run.terms)
        energy.add_metric(labels, said.energy_mj * JOULES_PER_MILLIJOULE)
        carbon.add_metric(labels, said.realised_ug * GRAMS_PER_MICROGRAM)
        if said.baseline_ug is not None:
            baseline.add_metric(labels, said.baseline_ug * GRAMS_PER_MICROGRAM)
        if (ratio := accounts.slowdown(run.account)) is not None:
            behind.add_metric(labels, ratio)
        for finding in decision.findings:
            conditions.add_metric((*labels, finding.type, finding.reason), float(finding.ok))
        if decision.active is not None and decision.active.timeline:
            for product, watts in decision.active.step_at(now).limits_w.items():
                limit.add_metric((*labels, product), watts)
    for state, jobs in count.items():
        states.add_metric((state.value,), jobs)
    return [energy, carbon, baseline, behind, limit, states, conditions]


def _fleet(fleet: Fleet) -> list[Metric]:
    answering = GaugeMetricFamily("carbonzeus_agent_up", "1 where the node's agent answers.", labels=("node",))
    refused = GaugeMetricFamily(
        "carbonzeus_refused", "Pods or GPUs that an agent leaves alone.", labels=("node", "reason")
    )
    for agent in fleet.agents.values():
        answering.add_metric((agent.node,), 0.0 if agent.problem else 1.0)
        reasons = [refusal.reason.value for refusal in agent.reply.refused] if agent.reply is not None else []
        for reason in sorted(set(reasons)):
            refused.add_metric((agent.node, reason), reasons.count(reason))
    return [answering, refused]
