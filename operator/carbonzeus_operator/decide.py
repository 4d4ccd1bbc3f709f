"""The heart: from what is, to what shall be. `reconcile(snapshot, rules)` is a pure function; start reading here.

For each job: find its terms (policy, bound, zone, curves), look at the grid, keep the plan it follows or make a new one
from the measured credit, and say what each of its pods' agents shall do. Whatever is missing or wrong, the job runs at its
reference limit, is measured all the same, and a condition says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.following import Course, follow
from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.grid.view import GridView
from carbonzeus_operator.learning.course import studied
from carbonzeus_operator.learning.telling import what_is_known
from carbonzeus_operator.plan.mixed import Overhead
from carbonzeus_operator.plan.schedule import Plan, PlanStep
from carbonzeus_operator.resources.policy import CarbonPolicySpec, Mode
from carbonzeus_operator.resources.report import ReportState
from carbonzeus_operator.terms import Curves, Terms, curves_of, expected_work_s, gpus_of, terms_of, zone_of
from carbonzeus_operator.waiting import STRAGGLERS, allowed, kept_back, needs_of, record_seconds, steps_for, who_waits
from carbonzeus_operator.world.objects import Pod, all_running_since
from carbonzeus_operator.world.snapshot import ActivePlan, JobView, NodeView, Rules, Snapshot
from carbonzeus_wire import Outcome, PodPlan, RefusalReason, Step


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition of a report."""

    type: str
    ok: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class JobDecision:
    """What shall be done for one job, and what is to be said about it."""

    view: JobView
    state: ReportState
    findings: tuple[Finding, ...]
    pod_plans: tuple[tuple[str, PodPlan], ...] = ()
    """(node, plan) of each pod that is there."""
    terms: Terms | None = None
    grid_key: tuple[str, Signal] | None = None
    curves: Curves | None = None
    active: ActivePlan | None = None
    """What is followed from now on (in Recommend: what would be)."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What shall be done."""

    jobs: tuple[JobDecision, ...]

    @property
    def plans_by_node(self) -> dict[str, tuple[PodPlan, ...]]:
        """The full desired state of every node that has one."""
        found: dict[str, list[PodPlan]] = {}
        for decision in self.jobs:
            for node, plan in decision.pod_plans:
                found.setdefault(node, []).append(plan)
        return {node: tuple(sorted(plans, key=lambda plan: plan.pod_uid)) for node, plans in found.items()}


def reconcile(snapshot: Snapshot, rules: Rules) -> Decisions:
    """Decides for every job by itself: what is wrong with one is no matter of another."""
    return Decisions(tuple(_job(view, snapshot, rules) for view in snapshot.jobs))


def wanted_grid(snapshot: Snapshot, rules: Rules) -> dict[str, tuple[str, Signal]]:
    """The zone and signal that each job needs, by its UID, where that can be told."""
    found = {}
    for view in snapshot.jobs:
        try:
            terms = terms_of(view, snapshot)
            if terms is not None:
                found[view.job.uid] = zone_of(view, terms.policy, snapshot, rules)
        except InvalidSpec:
            continue
    return found


def _job(view: JobView, snapshot: Snapshot, rules: Rules) -> JobDecision:
    if view.job.finished_at is not None:
        message = "the job succeeded" if view.job.succeeded else "the job ended without success"
        return JobDecision(view, ReportState.FINISHED, (Finding("Accepted", True, "Finished", message),))
    terms: Terms | None = None
    key: tuple[str, Signal] | None = None
    try:
        terms = terms_of(view, snapshot)
        if terms is None:
            finding = Finding("Accepted", False, "OptedOut", "the job names no policy any more: it is measured only")
            return JobDecision(view, ReportState.OBSERVING, (finding,), _measure_only(view, None))
        key = zone_of(view, terms.policy, snapshot, rules)
        if all_running_since(view.pods, view.job.workers) is None or _unknown_gpus(view, snapshot.nodes):
            return _waiting(view, snapshot, terms, key)
        curves = curves_of(view, terms, snapshot)
    except InvalidSpec as problem:
        finding = Finding("Accepted", False, problem.reason, str(problem))
        return JobDecision(
            view, ReportState.OBSERVING, (finding,), _measure_only(view, terms), terms=terms, grid_key=key
        )
    return _planned(view, snapshot, rules, terms, key, curves)


def _planned(
    view: JobView, snapshot: Snapshot, rules: Rules, terms: Terms, key: tuple[str, Signal], curves: Curves
) -> JobDecision:
    findings = [Finding("Accepted", True, "PolicyFound", f"runs under CarbonPolicy {terms.request.policy}")]
    grid = snapshot.grid.get(key)
    fresh, finding = _freshness(grid, terms.policy, key, snapshot.now)
    findings.append(finding)
    if terms.policy.mode is Mode.OBSERVE:
        findings.append(Finding("Planned", False, "ObserveMode", "the policy only observes: no plan is made"))
        return JobDecision(view, ReportState.OBSERVING, tuple(findings), _measure_only(view, terms), terms, key, curves)
    waiting = needs_of(view, terms, curves, rules)
    rules = kept_back(waiting, rules)
    active = _follow(view, snapshot, rules, terms, curves, grid, fresh=fresh)
    if curves.study is not None:
        findings.append(Finding("CurveKnown", *what_is_known(curves.study, active)))
    findings.append(Finding("Planned", True, "Planned" if fresh else "Static", _describe(active.plan, terms)))
    if terms.policy.mode is Mode.RECOMMEND:
        return JobDecision(
            view, ReportState.RECOMMENDING, tuple(findings), _measure_only(view, terms), terms, key, curves, active
        )
    findings.append(_enforcement(view, snapshot.nodes))
    state = ReportState.ENFORCING if fresh else ReportState.HOLDING
    needs = allowed(waiting, view, terms, curves, active, rules, snapshot.now, fresh=fresh)
    if (told := who_waits(view, needs)) is not None:
        findings.append(Finding(STRAGGLERS, *told))
    every_s = record_seconds(waiting, curves, active, rules)
    plans = []
    for pod in view.pods:
        if pod.node is not None and pod.running:
            steps = steps_for(active, _product(pod, snapshot.nodes), rules, curves, needs.get(pod.uid))
            plans.append((pod.node, _pod_plan(view, pod, terms, steps=steps, every_s=every_s)))
    return JobDecision(view, state, tuple(findings), tuple(plans), terms, key, curves, active)


def _follow(
    view: JobView,
    snapshot: Snapshot,
    rules: Rules,
    terms: Terms,
    curves: Curves,
    grid: GridView | None,
    *,
    fresh: bool,
) -> ActivePlan:
    """The plan the job follows: the one it has, or a new one."""
    course = Course(
        fleet=curves.groups,
        slowdown=terms.slowdown,
        eta=terms.policy.eta or 0.0,
        overhead=Overhead(terms.policy.overhead.host_watts_per_gpu, terms.policy.overhead.pue_factor),
        expected_work_s=expected_work_s(terms.request, curves),
        past_work_s=view.past_work_s,
        when_stale=terms.policy.stale_forecast.then,
        pods=tuple(pod.uid for pod in view.pods),
    )
    forecast = grid.forecast if grid is not None else None
    held = _held(view, snapshot, curves) if terms.policy.mode is Mode.ENFORCE else None
    if curves.study is not None:
        return studied(view.active, curves.study, course, forecast, rules, snapshot.now, fresh=fresh, held=held)
    return follow(view.active, view.measured, course, forecast, rules, snapshot.now, fresh=fresh, held=held)


def _held(view: JobView, snapshot: Snapshot, curves: Curves) -> PlanStep | None:
    """The limits that the job's GPUs are at below their reference, since the last measurement as far as anybody knows.

    A leader that has just begun finds the plan of the one before: it holds until the new one begins.
    """
    limits_w: dict[str, float] = {}
    for pod in view.pods:
        for gpu in gpus_of(pod, snapshot.nodes):
            reference_w = curves.whole[gpu.product].reference_limit_w
            limit_w = min(gpu.limit_watts or reference_w, reference_w)
            limits_w[gpu.product] = max(limit_w, limits_w.get(gpu.product, 0.0))
    r = min((curves.whole[product].at(limit_w)[1] for product, limit_w in limits_w.items()), default=1.0)
    if all(limit_w == curves.whole[product].reference_limit_w for product, limit_w in limits_w.items()):
        return None
    return PlanStep(min(view.measured.until or snapshot.now, snapshot.now), limits_w, r)


def _freshness(
    grid: GridView | None, policy: CarbonPolicySpec, key: tuple[str, Signal], now: datetime
) -> tuple[bool, Finding]:
    zone, signal = key
    problem = grid.problem if grid is not None else None
    if grid is None or grid.forecast is None:
        message = f"no {signal.lower()} forecast for zone {zone}: {problem or 'the provider has none'}"
        return False, Finding("ForecastFresh", False, "NoForecast", message)
    forecast = grid.forecast
    age_minutes = (now - forecast.issued_at).total_seconds() / 60
    issued = f"{forecast.source} forecast for {zone} issued at {forecast.issued_at:%Y-%m-%dT%H:%M:%SZ}"
    if age_minutes >= policy.stale_forecast.after_minutes or forecast.at(now) is None:
        why = "is too old" if forecast.at(now) is not None else "does not cover the present"
        more = problem or "; ".join(forecast.warnings)
        message = f"the {issued} {why}{f': {more}' if more else ''}"
        return False, Finding("ForecastFresh", False, "ForecastStale", message)
    if problem is not None:
        return True, Finding("ForecastFresh", True, "LastGood", f"following the last good {issued}, since {problem}")
    if forecast.warnings:
        reason = "Fallback" if forecast.stands_in else "Gaps"
        return True, Finding("ForecastFresh", True, reason, f"following the {issued}; {'; '.join(forecast.warnings)}")
    return True, Finding("ForecastFresh", True, "Fresh", f"following the {issued}")


def _enforcement(view: JobView, nodes: Mapping[str, NodeView]) -> Finding:
    """What the agents said about the job's pods."""
    uids = {pod.uid for pod in view.pods}
    silent = sorted(
        {f"{pod.node}: {nodes[pod.node].problem}" for pod in view.pods if pod.node and nodes[pod.node].problem}
    )
    if silent:
        told = f"a running agent restores the prior limits when its lease ends, a stopped one when it starts again: {'; '.join(silent)}"
        return Finding("Enforced", False, "AgentUnreachable", told)
    replies = [node.reply for node in nodes.values() if node.reply is not None]
    refused = [refusal for reply in replies for refusal in reply.refused if refusal.pod_uid in uids]
    if refused:
        words = sorted({f"{one.gpu_uuid or one.pod_uid}: {one.message or one.reason}" for one in refused})
        return Finding("Enforced", False, refused[0].reason.value, "; ".join(words)[:1024])
    faults = [one for reply in replies for one in reply.applied if one.pod_uid in uids and one.outcome is Outcome.FAULT]
    if faults:
        words = sorted({f"{one.gpu_uuid}: {one.message}" for one in faults})
        return Finding("Enforced", False, "LimitNotTaken", "; ".join(words)[:1024])
    overridden = [
        (gpu.uuid, gpu.override) for pod in view.pods for gpu in gpus_of(pod, nodes) if gpu.override is not None
    ]
    if overridden:
        told = "; ".join(f"{uuid}: {override.message}" for uuid, override in overridden)
        followed = not any(override.yielded for _, override in overridden)
        return Finding("Enforced", followed, RefusalReason.LIMIT_OVERRIDDEN.value, told[:1024])
    return Finding("Enforced", True, "Applied", "every GPU of the job follows the plan")


def _unknown_gpus(view: JobView, nodes: Mapping[str, NodeView]) -> list[Pod]:
    return [pod for pod in view.pods if pod.running and len(gpus_of(pod, nodes)) < pod.gpus]


def _waiting(view: JobView, snapshot: Snapshot, terms: Terms, key: tuple[str, Signal]) -> JobDecision:
    unknown = _unknown_gpus(view, snapshot.nodes)
    reason, message = "WorkersNotRunning", "not all workers run yet: nothing to slow down"
    if view.job.suspended:
        reason, message = "Suspended", "the job is suspended"
    elif unknown and all_running_since(view.pods, view.job.workers) is not None:
        reason = "GPUsUnknown"
        message = "no agent knows yet which GPUs hold: " + ", ".join(
            f"{pod.key} on {pod.node} ({problem_of(pod, snapshot.nodes)})" for pod in unknown[:8]
        )
    accepted = Finding("Accepted", True, "PolicyFound", f"runs under CarbonPolicy {terms.request.policy}")
    ended = bool(view.pods) and all(pod.finished_at is not None for pod in view.pods)
    findings = (accepted,) if ended else (accepted, Finding("Planned", False, reason, message))
    return JobDecision(view, ReportState.PENDING, findings, _measure_only(view, terms), terms, key)


def problem_of(pod: Pod, nodes: Mapping[str, NodeView]) -> str:
    """Why a node's agent does not tell what it should."""
    node = nodes.get(pod.node or "")
    if node is None:
        return "no agent is running on this node"
    return node.problem or "the kubelet has not reported them"


def _measure_only(view: JobView, terms: Terms | None) -> tuple[tuple[str, PodPlan], ...]:
    return tuple((pod.node, _pod_plan(view, pod, terms, observe=True)) for pod in view.pods if pod.node and pod.running)


def _pod_plan(
    view: JobView,
    pod: Pod,
    terms: Terms | None,
    *,
    steps: tuple[Step, ...] = (),
    observe: bool = False,
    every_s: float | None = None,
) -> PodPlan:
    leader = view.pods and pod.uid == view.pods[0].uid
    return PodPlan(
        pod_uid=pod.uid,
        pod=str(pod.key),
        job=str(view.job.key),
        mode="Observe" if observe else "Enforce",
        steps=steps,
        progress=terms.request.progress if terms is not None and leader else None,
        pod_ip=pod.ip,
        record_seconds=every_s,
    )


def _product(pod: Pod, nodes: Mapping[str, NodeView]) -> str:
    return gpus_of(pod, nodes)[0].product if gpus_of(pod, nodes) else ""


def _describe(plan: Plan, terms: Terms) -> str:
    knob = f"at most {terms.slowdown:.1%} slower" if terms.slowdown is not None else f"carbon weight {terms.policy.eta}"
    planned = plan.planned
    share = 1 - planned.grams / planned.reference_grams if planned.reference_grams > 0 else 0.0
    return f"{len(plan.steps)} steps until {plan.horizon_end:%Y-%m-%dT%H:%M:%SZ}, {knob}, planned to save {share:.1%}"
