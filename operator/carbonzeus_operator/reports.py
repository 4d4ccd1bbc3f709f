"""What is written about a run: the status of its CarbonReport, and an Event on the job when something turned. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from carbonzeus_operator import account as accounts
from carbonzeus_operator.account import Account, Terms
from carbonzeus_operator.decide import Finding, JobDecision
from carbonzeus_operator.learning import memory
from carbonzeus_operator.learning.course import measured_of
from carbonzeus_operator.learning.telling import phase_of, uncertainty_of
from carbonzeus_operator.plan import bound
from carbonzeus_operator.plan.schedule import SlowdownKnob, step_at
from carbonzeus_operator.resources.base import GROUP, Condition
from carbonzeus_operator.resources.learning import LearningPhase, LearningStatus
from carbonzeus_operator.resources.quantity import format_percent
from carbonzeus_operator.resources.report import (
    MAX_PLAN_STEPS,
    CarbonReportStatus,
    Figures,
    JobResult,
    PlanStatus,
    PlanStepStatus,
    ReportState,
)
from carbonzeus_operator.run import Run
from carbonzeus_operator.terms import gpus_of
from carbonzeus_operator.world.objects import Job
from carbonzeus_operator.world.snapshot import Rules, Snapshot

JOB_UID_LABEL = f"{GROUP}/job-uid"
QUIET_REASONS = {
    "WorkersNotRunning",
    "ObserveMode",
    "Finished",
    "GPUsUnknown",
    LearningPhase.WARMING_UP,
    LearningPhase.MEASURING,
}
"""Reasons of a False condition that are no trouble."""


def new_report(run: Run) -> dict[str, Any]:
    """The report of a run, to be created. It has no owner: it survives the job."""
    job = run.job
    return {
        "metadata": {"name": run.key.name, "namespace": run.key.namespace, "labels": {JOB_UID_LABEL: job.uid}},
        "spec": {"jobRef": {"apiVersion": job.api_version, "kind": job.kind, "name": job.key.name, "uid": job.uid}},
    }


def status_of(run: Run, decision: JobDecision, snapshot: Snapshot, rules: Rules) -> CarbonReportStatus:
    """The whole status, from the account and the decision."""
    before = run.report.status if run.report is not None else None
    if not isinstance(before, CarbonReportStatus):
        before = CarbonReportStatus()
    account, terms, now = run.account, run.terms, snapshot.now
    realised = accounts.statement(account, terms)
    planned = accounts.statement(run.what_if, terms, planned=True) if run.what_if is not None else None
    shown = planned or realised
    behind = accounts.slowdown(account)
    coverage = accounts.coverage_statement(account, terms, now, allowance=_allowance(rules))
    policy = decision.terms.policy if decision.terms is not None else None
    view = snapshot.grid.get(decision.grid_key) if decision.grid_key is not None else None
    series = (view.actual or view.forecast) if view is not None else None
    findings = decision.findings
    if policy is not None and (bounded := _bound_kept(run, decision, rules)) is not None:
        findings = (*findings, bounded)
    return before.model_copy(
        update={
            "state": decision.state,
            "policy": decision.terms.request.policy if decision.terms is not None else before.policy,
            "profile": _profile(decision) or before.profile,
            "zone": decision.grid_key[0] if decision.grid_key is not None else before.zone,
            "signal": decision.grid_key[1] if decision.grid_key is not None else before.signal,
            "factor": series.factor.value if series is not None else before.factor,
            "source": series.source if series is not None else before.source,
            "limit": _limit(decision, snapshot),
            "plan": _plan(decision, before.plan, now),
            "slowdown": format_percent(behind) if behind is not None else None,
            "slowdown_bound": _bound(decision) or before.slowdown_bound,
            "intensity": _intensity(decision, snapshot),
            "energy": accounts.energy_text(realised.energy_millijoules),
            "carbon": accounts.carbon_text(realised.carbon_micrograms),
            "saved": shown.saved,
            "settled": coverage.settled,
            "start_time": min((pod.started for pod in account.pods), default=before.start_time),
            "completion_time": run.job.finished_at,
            "result": _result(run.job) or before.result,
            "realised": realised,
            "planned": planned if planned is not None else before.planned,
            "coverage": coverage,
            "settlements": accounts.settlement_statements(account),
            "learning": _learning(run) or before.learning,
            "reference_limit_watts": _reference(run) or before.reference_limit_watts,
            "conditions": Condition.updated(before.conditions, *(_condition(finding, now) for finding in findings)),
            "ledger": accounts.encode(account),
            "planned_ledger": accounts.encode(run.what_if) if run.what_if is not None else None,
            "observed_generation": run.report.generation if run.report is not None else None,
        }
    )


def revised_status(
    run: Run, before: CarbonReportStatus, account: Account, what_if: Account | None, now: datetime
) -> CarbonReportStatus:
    """The status of a closed run whose account was settled again: its figures, and nothing of what was decided or said.

    The policy and the curve may be gone by now. How far timing may be wrong then stays as it was said.
    """
    realised = _revised_figures(before.realised, account, run.terms)
    planned = _revised_figures(before.planned, what_if, run.terms, planned=True) if what_if is not None else None
    shown = planned or realised
    coverage = accounts.coverage_statement(account, run.terms, now)
    return before.model_copy(
        update={
            "carbon": accounts.carbon_text(realised.carbon_micrograms),
            "saved": shown.saved,
            "settled": coverage.settled,
            "realised": realised,
            "planned": planned if planned is not None else before.planned,
            "coverage": coverage,
            "settlements": accounts.settlement_statements(account),
            "ledger": accounts.encode(account),
            "planned_ledger": accounts.encode(what_if) if what_if is not None else None,
        }
    )


def _revised_figures(before: Figures | None, account: Account, terms: Terms, *, planned: bool = False) -> Figures:
    figures = accounts.statement(account, terms, planned=planned)
    if before is None or figures.timing_uncertainty is not None:
        return figures
    kept = {"efficiency_uncertainty": before.efficiency_uncertainty, "timing_uncertainty": before.timing_uncertainty}
    return figures.model_copy(update=kept)


def events_of(job: Job, before: Iterable[Condition], after: Iterable[Condition], now: datetime) -> list[dict[str, Any]]:
    """An Event on the job for each condition that turned, or whose trouble changed its kind."""
    old = {condition.type: condition for condition in before}
    events = []
    for condition in after:
        was = old.get(condition.type)
        if was is not None and (was.status, was.reason) == (condition.status, condition.reason):
            continue
        bad = condition.status == "False" and condition.reason not in QUIET_REASONS
        if not bad and (was is None or was.status == condition.status) and condition.type != "Planned":
            continue
        events.append(_event(job, condition.reason, condition.message, warning=bad, now=now))
    return events


def is_expired(run: Run, retention: timedelta, now: datetime) -> bool:
    """Whether a closed report has outlived its retention time."""
    finished = run.job.finished_at
    return run.closed and finished is not None and now - finished > retention


def _event(job: Job, reason: str, message: str, *, warning: bool, now: datetime) -> dict[str, Any]:
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"generateName": f"{job.key.name[:50]}.", "namespace": job.key.namespace},
        "involvedObject": {
            "apiVersion": job.api_version,
            "kind": job.kind,
            "name": job.key.name,
            "namespace": job.key.namespace,
            "uid": job.uid,
        },
        "reason": reason,
        "message": message[:1024],
        "type": "Warning" if warning else "Normal",
        "source": {"component": "carbonzeus"},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


def _condition(finding: Finding, now: datetime) -> Condition:
    return Condition(
        type=finding.type,
        status="True" if finding.ok else "False",
        reason=finding.reason,
        message=finding.message[:4096],
        last_transition_time=now.replace(microsecond=0),
    )


def _result(job: Job) -> JobResult | None:
    if job.finished_at is None or job.created_at is None:
        return None
    return JobResult.SUCCEEDED if job.succeeded else JobResult.FAILED


def _bound(decision: JobDecision) -> str | None:
    slowdown = decision.terms.slowdown if decision.terms is not None else None
    return format_percent(slowdown) if slowdown is not None else None


def _profile(decision: JobDecision) -> str | None:
    if decision.curves is not None:
        return decision.curves.profile
    return decision.terms.request.profile if decision.terms is not None else None


def _learning(run: Run) -> LearningStatus | None:
    study = run.study
    if study is None:
        return None
    return LearningStatus(
        phase=phase_of(study),
        windows=study.windows,
        profiling_seconds=round(study.profiled_s),
        uncertainty=uncertainty_of(study),
        state=memory.as_text(study),
    )


def _bound_kept(run: Run, decision: JobDecision, rules: Rules) -> Finding | None:
    slowdown = decision.terms.slowdown if decision.terms is not None else None
    learned = decision.curves is not None and decision.curves.study is not None
    done = measured_of(run.study) if run.study is not None and learned else run.account
    if slowdown is None or done.work_s <= 0:
        return None
    credit_s = bound.credit_s(elapsed_s=done.elapsed_s, work_s=done.work_s, slowdown=slowdown, grace_s=rules.grace_s)
    if credit_s >= 0:
        return Finding("BoundKept", True, "WithinBound", f"at most {slowdown:.2%} and {rules.grace_s:g} s behind")
    return Finding(
        "BoundKept", False, "BehindBound", f"{-credit_s:.1f} s of work beyond {slowdown:.2%} and {rules.grace_s:g} s"
    )


def _plan(decision: JobDecision, told: PlanStatus | None, now: datetime) -> PlanStatus | None:
    """The step in force and those to come. A plan is told once: that one of its steps has passed is no news."""
    if decision.state is ReportState.FINISHED or decision.active is None:
        return None
    plan, timeline = decision.active.plan, decision.active.timeline
    if told is not None and told.made_at == plan.made_at:
        return told
    begun = sum(1 for step in timeline if step.at <= now)
    ahead = timeline[max(begun - 1, 0) :][:MAX_PLAN_STEPS]
    credit_s = plan.knob.credit_s if isinstance(plan.knob, SlowdownKnob) else None
    return PlanStatus(
        made_at=plan.made_at,
        credit_seconds=f"{credit_s:.6f}" if credit_s is not None else None,
        horizon_end=plan.horizon_end,
        steps=tuple(PlanStepStatus(at=step.at, limit=_watts_text(step.limits_w.values())) for step in ahead),
    )


def _watts_text(limits_w: Iterable[float]) -> str:
    watts = sorted({round(limit_w) for limit_w in limits_w}, reverse=True)
    return "/".join(f"{one}" for one in watts[:4]) + " W"


def _limit(decision: JobDecision, snapshot: Snapshot) -> str | None:
    if decision.state is ReportState.FINISHED:
        return None
    limits_w = [
        gpu.limit_watts
        for pod in decision.view.pods
        for gpu in gpus_of(pod, snapshot.nodes)
        if gpu.limit_watts is not None
    ]
    if decision.state in {ReportState.ENFORCING, ReportState.HOLDING} and decision.active is not None:
        step = step_at(decision.active.timeline, snapshot.now)
        if step is not None:
            limits_w = list(step.limits_w.values())
    return _watts_text(limits_w) if limits_w else None


def _intensity(decision: JobDecision, snapshot: Snapshot) -> str | None:
    if decision.state is ReportState.FINISHED or decision.grid_key is None:
        return None
    view = snapshot.grid.get(decision.grid_key)
    for series in (view.actual, view.forecast) if view is not None else ():
        interval = series.at(snapshot.now) if series is not None else None
        if interval is not None:
            return f"{interval.gco2_per_kwh:.0f} g/kWh"
    return None


def _reference(run: Run) -> str | None:
    products = run.terms.products.values()
    return f"{max(product.reference_limit_w for product in products):g}" if products else None


def _allowance(rules: Rules) -> timedelta:
    return max(2 * rules.replan, timedelta(seconds=5))
