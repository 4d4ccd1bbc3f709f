"""Workers of a running job that wait for a slower one: what is heard of them, which limits they get, what is said. Pure.

The reasoning is in `plan.stragglers`. The leader's pod always keeps the plan's limit, whether it waits or not: its records are the
clock of the account and of the learner, and they tell the limit that the job's speed goes with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from carbonzeus_operator.account import JobPod
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.following import is_urgent, pushed_steps
from carbonzeus_operator.learning import course as learned
from carbonzeus_operator.learning.collector import Collector, Whole, overlap_s
from carbonzeus_operator.learning.study import LEAST_S as ROUNDING_S
from carbonzeus_operator.learning.study import SILENT, Span, ran_s
from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.schedule import PlanStep, step_at
from carbonzeus_operator.plan.stragglers import LEAST_S, Need, Waiting, Worker, limit_for
from carbonzeus_operator.plan.stragglers_signs import Shown
from carbonzeus_operator.resources.policy import Mode, WhenStale
from carbonzeus_operator.terms import Curves, Terms, curves_of, gpus_of, terms_of
from carbonzeus_operator.world.snapshot import ActivePlan, JobView, Rules, Snapshot
from carbonzeus_wire import EnergyRecord, Quality, Step

STRAGGLERS = "StragglersWatched"
"""The type of the condition; it stays on a report that ever told of workers that wait."""
WATCHED_RECORD_S = 60.0
"""Of training: records of a job of which somebody waits."""
LATE = timedelta(seconds=6)
"""An agent lets a record wait so long for the progress that belongs to it."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The pods of a job now."""

    products: Mapping[str, Mapping[str, str]]
    """By pod UID, rank 0 first: the product of each of its GPUs, by UUID."""
    curves: Mapping[str, Curve]
    """By product, as planned with."""

    @property
    def leader(self) -> str:
        """UID of the pod that counts the steps."""
        return next(iter(self.products))

    @property
    def clock_gpu(self) -> str:
        """UUID of the GPU whose records carry the steps."""
        return min(self.products[self.leader])

    @property
    def gpus(self) -> frozenset[str]:
        """UUIDs of all."""
        return frozenset(uuid for gpus in self.products.values() for uuid in gpus)


@dataclass(frozen=True, slots=True)
class Watch:
    """What was heard of a job's workers since this operator began."""

    crew: Crew
    timelapse: float = 1.0
    """For how many seconds of training each second stands; 1 but in emulations."""
    collector: Collector = field(default_factory=Collector)
    waiting: Waiting = field(default_factory=Waiting)

    @property
    def needs(self) -> dict[str, Need]:
        """Of the pods that may be lower than the plan, by UID."""
        return {pod: need for pod, need in self.waiting.needs.items() if need.is_lower}

    def heard(self, records: Iterable[EnergyRecord], running: Sequence[Span]) -> Watch:
        """After more records of the job's GPUs, in any order. running: when all workers ran."""
        crew = self.crew
        collector = self.collector.with_records(records, crew.clock_gpu, crew.gpus)
        collector, told = collector.ready(crew.clock_gpu, crew.gpus, SILENT / self.timelapse)
        waiting = self.waiting
        for whole in told:
            waiting = waiting.observe(self._shown(whole, running), crew.curves, steps_per_s=_steps_per_s(whole.clock))
            waiting = replace(waiting, workers={**waiting.workers, crew.leader: Worker()})
        return replace(self, collector=collector, waiting=waiting)

    def _shown(self, whole: Whole, running: Sequence[Span]) -> dict[str, list[Shown]]:
        """What each pod showed; nothing of one that was silent, or of all where not all of them ran throughout."""
        clock = whole.clock
        ran = ran_s(running, clock.start, clock.end) > _seconds(clock) - ROUNDING_S
        told = {**whole.others, clock.gpu_uuid: (clock,)} if ran else {}
        return {
            pod: [self._of_gpu(told[uuid], clock, product) for uuid, product in gpus.items()]
            if told.keys() >= gpus.keys()
            else []
            for pod, gpus in self.crew.products.items()
        }

    def _of_gpu(self, records: Sequence[EnergyRecord], clock: EnergyRecord, product: str) -> Shown:
        """Its last record that is long enough: where its limit changed early in the window, that of the new one."""
        long = [record for record in records if overlap_s(record, clock) * self.timelapse >= LEAST_S]
        record = (long or records)[-1]
        seconds = overlap_s(record, clock) * self.timelapse
        if record.quality is Quality.GAP:
            return Shown(product, seconds, None, None, None, None)
        watts = record.energy_millijoules / 1000 / _seconds(record)
        return Shown(product, seconds, record.limit_watts, watts, record.mean_utilization, record.mean_sm_clock_mhz)


def watched(before: Watch | None, view: JobView, snapshot: Snapshot, rules: Rules) -> Watch | None:
    """Goes on watching a job under the conditions of now, or begins; None where there is nothing to be had. Never raises."""
    if view.job.finished_at is not None:
        return before
    try:
        terms = terms_of(view, snapshot)
        if terms is None or not _is_watched(view, terms):
            return None
        pods = [pod for pod in view.pods if pod.running]
        gpus = {pod.uid: gpus_of(pod, snapshot.nodes) for pod in pods}
        if len(pods) < view.job.workers or not all(len(gpus[pod.uid]) >= max(pod.gpus, 1) for pod in pods):
            return None
        curves = curves_of(view, terms, snapshot)
    except InvalidSpec:
        return None
    products = {uid: {gpu.uuid: gpu.product for gpu in each} for uid, each in gpus.items()}
    crew = Crew(products, {product: group.curve for product, group in curves.groups.items()})
    return replace(before, crew=crew) if before is not None else Watch(crew, rules.timelapse)


def needs_of(view: JobView, terms: Terms, curves: Curves, rules: Rules) -> dict[str, Need]:
    """What the pods that wait need, by UID: of a job whose work is told by its steps, so that its credit sees what lowering costs.

    No less than what leaves half of the grace, should the slow worker recover (see `kept_back`).
    """
    by_steps = curves.study is not None or curves.reference_rate is not None
    if not by_steps or not _is_watched(view, terms):
        return {}
    least = 1.0 - rules.grace_s / 2 / _unseen_s(rules) if terms.slowdown is not None else 0.0
    found = {pod.uid: view.needs[pod.uid] for pod in view.pods[1:] if pod.uid in view.needs}
    able = {uid: replace(need, share=max(need.share, least)) for uid, need in found.items()}
    return {uid: need for uid, need in able.items() if need.is_lower}


def kept_back(needs: Mapping[str, Need], rules: Rules) -> Rules:
    """With less grace where somebody waits: what is lost if the slow worker recovers is kept in hand.

    Until a record has told of it and new limits hold, those that waited are the slow ones then.
    """
    lost = max((1.0 - need.share for need in needs.values()), default=0.0)
    return replace(rules, grace_s=rules.grace_s - lost * _unseen_s(rules))


def record_seconds(needs: Mapping[str, Need], curves: Curves, active: ActivePlan, rules: Rules) -> float | None:
    """How long the records of the job's GPUs should be while it is measured, or somebody waits; None: as they usually are."""
    if needs:
        return WATCHED_RECORD_S / rules.timelapse
    return learned.record_seconds(active, curves.study) if curves.study is not None else None


def allowed(
    needs: Mapping[str, Need],
    view: JobView,
    terms: Terms,
    curves: Curves,
    active: ActivePlan,
    rules: Rules,
    now: datetime,
    *,
    fresh: bool,
) -> Mapping[str, Need]:
    """The needs that count now: none while the job is measured, or its bound or its forecast is in doubt."""
    restores = not fresh and terms.policy.stale_forecast.then is WhenStale.RESTORE
    if not needs or active.window is not None or restores:
        return {}
    measured = view.measured
    if curves.study is not None:
        measured = learned.measured_of(curves.study)
        rules = learned.learned_rules(rules, curves.study.learner, curves.study.timelapse)
    urgent = terms.slowdown is not None and is_urgent(active, measured, terms.slowdown, rules, now)
    return {} if urgent else needs


def steps_for(active: ActivePlan, product: str, rules: Rules, curves: Curves, need: Need | None) -> tuple[Step, ...]:
    """The steps of the plan for a pod's GPUs, as low as it may be. need: None where it is all of the plan's speed."""
    steps: list[Step] = []
    for step in pushed_steps(active, product, rules):
        limit_w = step.limit_watts
        if need is not None:
            limit_w = limit_for(limit_w, curves.groups[product].curve, need)
        if not steps or steps[-1].limit_watts != limit_w:
            steps.append(Step(at=step.at, limit_watts=limit_w))
    return tuple(steps)


def who_waits(view: JobView, needs: Mapping[str, Need]) -> tuple[bool, str, str] | None:
    """(True, reason, sentence), for a condition; None where nobody ever waited."""
    if not needs:
        told = "no worker waits for a slower one by so much that it is held lower than the plan"
        return (True, "AllInStep", told) if view.told_waiting else None
    shares = [need.share for need in needs.values()]
    low, high = f"{min(shares):.0%}", f"{max(shares):.0%}"
    held = low if low == high else f"{low} to {high}"
    told = f"{len(needs)} of {len(view.pods)} workers wait for a slower one: held at {held} of the speed"
    return True, "Waiting", told


def counted(
    records: tuple[EnergyRecord, ...], pods: Iterable[JobPod], lowered: Collection[str], timeline: Sequence[PlanStep]
) -> tuple[EnergyRecord, ...]:
    """As the account takes them: a worker that waits at a lower limit does the work of the plan's (docs/accounting.md).

    lowered: UIDs of the pods that did. A record that is older than the plan's timeline stays as it is.
    """
    products = {pod.uid: pod.product for pod in pods if pod.uid in lowered and not pod.leader}
    return tuple(
        _as_planned(record, products[record.pod_uid], timeline) if record.pod_uid in products else record
        for record in records
    )


def _as_planned(record: EnergyRecord, product: str, timeline: Sequence[PlanStep]) -> EnergyRecord:
    middle = record.start + (record.end - record.start) / 2
    step = step_at(timeline, middle)
    planned_w = step.limits_w.get(product) if step is not None else None
    if planned_w is None or record.limit_watts is None or planned_w <= record.limit_watts:
        return record
    return record.model_copy(update={"limit_watts": planned_w})


def _unseen_s(rules: Rules) -> float:
    """Until a record has told of a worker that recovered, and new limits hold [s]."""
    return (
        timedelta(seconds=WATCHED_RECORD_S / rules.timelapse) + LATE + rules.round + rules.switch_lead
    ).total_seconds()


def _is_watched(view: JobView, terms: Terms) -> bool:
    workers = view.job.workers > 1 and len(view.pods) > 1
    return workers and terms.policy.mode is Mode.ENFORCE and terms.request.progress is not None


def _steps_per_s(record: EnergyRecord) -> float | None:
    return None if record.progress is None else record.progress / _seconds(record)


def _seconds(record: EnergyRecord) -> float:
    return (record.end - record.start) / timedelta(seconds=1)
