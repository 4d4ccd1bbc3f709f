"""The runs of jobs that are accounted for: what the operator keeps in mind of each, beside what its report holds.

A report's status is the memory that survives: everything here can be rebuilt from it, from the cluster and the agents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from carbonzeus_operator import account as accounts
from carbonzeus_operator.account import Account, JobPod, LimitStep, Product, Terms
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Series, Signal
from carbonzeus_operator.plan.survival import PAST_JOBS
from carbonzeus_operator.resources.annotations import POLICY, PROFILE, policy_of
from carbonzeus_operator.resources.report import CarbonReportSpec, CarbonReportStatus, JobResult, ReportState
from carbonzeus_operator.terms import accounting_terms, gpus_of
from carbonzeus_operator.world.objects import Job, Key, Pod, all_running_since
from carbonzeus_operator.world.picture import Picture, Report
from carbonzeus_operator.world.snapshot import ActivePlan, JobView, Measured, NodeView, Snapshot
from carbonzeus_wire import EnergyRecord

LAST_RECORDS = timedelta(seconds=6)
"""For how long after a pod's end its last record may still come while others of its ledger run on: Kubernetes tells the end
in whole seconds, cut off; an agent looks every second who holds the GPUs, and lets a record wait some seconds for the
progress that belongs to it."""

WHOLE = 0.95
"""A run of which so much was measured tells how much work there was."""


@dataclass(slots=True)
class Run:
    """One run of one job."""

    job: Job
    key: Key
    """Of its report."""
    report: Report | None = None
    """As last read or written; None before it was made."""
    account: Account = field(default_factory=Account)
    what_if: Account | None = None
    """In mode Recommend: the account of the limits that would have held."""
    terms: Terms = field(default_factory=Terms)
    grid_key: tuple[str, Signal] | None = None
    """Its grid zone and signal, as last decided."""
    active: ActivePlan | None = None
    ledgers: set[str] = field(default_factory=set)
    """The ledgers that hold its records."""
    ends: dict[str, datetime] = field(default_factory=dict)
    """By pod UID: the end of the last record folded."""
    problem: str | None = None
    """Why its report cannot be written or its account not be read."""

    @property
    def measured(self) -> Measured:
        """What the plan is made from."""
        known = self.what_if or self.account
        leader = next((pod.uid for pod in known.pods if pod.leader and pod.ended is None), None)
        until = self.ends.get(leader) if leader is not None else None
        if until is None and known.elapsed_us and self.ledgers:
            until = accounts.folded_until(known, self.ledgers)
        return Measured(known.elapsed_s, known.work_s, until)

    @property
    def closed(self) -> bool:
        """Whether the job ended, nothing of its account is open, and the report that was written says so."""
        status = self.report.status if self.report is not None else None
        return (
            self.job.finished_at is not None
            and not self.account.cells
            and self.all_in
            and isinstance(status, CarbonReportStatus)
            and status.state is ReportState.FINISHED
            and status.ledger == accounts.encode(self.account)
        )

    @property
    def all_in(self) -> bool:
        """Whether the records of all its pods are in, up to their ends."""
        last = max((pod.ended for pod in self.account.pods if pod.ended is not None), default=None)
        if any(pod.ended is None for pod in self.account.pods):
            return False
        return last is None or accounts.folded_until(self.account, self.ledgers) >= last + LAST_RECORDS

    def settled_until(self) -> datetime:
        """Up to when all records are in."""
        running = [self.ends.get(pod.uid) for pod in self.account.pods if pod.ended is None]
        known = accounts.folded_until(self.account, self.ledgers)
        return min([known, *(end for end in running if end is not None)])

    def observe(self, pods: Iterable[Pod], nodes: Mapping[str, NodeView], now: datetime) -> None:
        """Takes what the cluster shows of the job's pods."""
        pods = sorted(pods, key=lambda pod: pod.rank_order)
        products = {pod.uid: pod.product for pod in self.account.pods}
        shown = []
        for index, pod in enumerate(pods):
            gpus = gpus_of(pod, nodes)
            product = gpus[0].product if gpus else products.get(pod.uid)
            if pod.started_at is None or product is None or not pod.gpus:
                continue
            shown.append(
                JobPod(
                    uid=pod.uid,
                    name=str(pod.key),
                    product=product,
                    gpus=pod.gpus,
                    started=pod.started_at,
                    ended=pod.finished_at,
                    leader=index == 0,
                )
            )
        since = all_running_since(pods, self.job.workers)
        self.account = accounts.observe(self.account, shown, running_since=since, now=now)
        if self.what_if is not None:
            self.what_if = accounts.observe(self.what_if, shown, running_since=since, now=now)

    def agree(self, pods: Iterable[Pod], snapshot: Snapshot) -> None:
        """Takes the terms that the account is kept under from now on."""
        products: dict[str, float | None] = {pod.product: None for pod in self.account.pods}
        for pod in pods:
            for gpu in gpus_of(pod, snapshot.nodes):
                products[gpu.product] = gpu.reference_limit_watts
        self.terms = accounting_terms(self.view(pods), self.terms, products, snapshot)

    def fold(self, ledger: str, records: Iterable[EnergyRecord], *, series: tuple[Series | None, ...]) -> None:
        """Takes a ledger's records, each exactly once."""
        records = tuple(records)
        self.account = accounts.fold(self.account, ledger, records, self.terms, series=series)
        if self.what_if is not None:
            steps = self.active.timeline if self.active is not None else ()
            instead = [LimitStep(step.at, max(step.limits_w.values())) for step in steps]
            self.what_if = accounts.fold(self.what_if, ledger, records, self.terms, series=series, instead=instead)
        for record in records:
            if record.pod_uid is not None and any(pod.uid == record.pod_uid for pod in self.account.pods):
                self.ends[record.pod_uid] = max(record.end, self.ends.get(record.pod_uid, record.end))

    def view(self, pods: Iterable[Pod], past_work_s: tuple[float, ...] = ()) -> JobView:
        """For the decision."""
        ranked = tuple(sorted(pods, key=lambda pod: pod.rank_order))
        return JobView(self.job, ranked, self.measured, self.active, past_work_s)

    @property
    def workload(self) -> tuple[str, str] | None:
        """(namespace, profile): runs under one PowerProfile are runs of one workload. None where it names no profile."""
        profile = self.job.annotations.get(PROFILE)
        return (self.job.key.namespace, profile) if profile is not None else None

    @property
    def whole_work_s(self) -> float | None:
        """The work of a job that succeeded and was measured from start to end; None of any other."""
        status = self.report.status if self.report is not None else None
        if not isinstance(status, CarbonReportStatus) or status.result is not JobResult.SUCCEEDED:
            return None
        coverage, work_s = status.coverage, self.account.work_s
        if coverage is None or work_s <= 0 or not self.all_in:
            return None
        whole = coverage.measured_gpu_milliseconds >= WHOLE * coverage.ran_gpu_milliseconds
        return work_s if whole else None

    def load(self, report: Report) -> None:
        """Takes the account from the report: after a start, or where somebody else wrote it."""
        self.report = report
        if isinstance(report.status, InvalidSpec):
            self.problem = str(report.status)
            return
        try:
            self.account = accounts.decode(report.status.ledger)
            planned = report.status.planned_ledger
            self.what_if = accounts.decode(planned) if planned is not None else None
        except InvalidSpec as error:
            self.problem = str(error)
            return
        self.problem = None
        self.ends.clear()
        self.grid_key = _grid_key(report.status)
        reference = report.status.reference_limit_watts
        if reference is not None and not self.terms.products:
            products = {pod.product: Product(float(reference)) for pod in self.account.pods}
            self.terms = replace(self.terms, products=products)
        self.ledgers |= set(self.account.cursors)


def report_key(job: Job) -> Key:
    """Where the report of a run is."""
    return Key(job.key.namespace, f"{job.key.name[:240]}-{job.uid[:8]}")


@dataclass(slots=True)
class Runs:
    """All runs, by the key of their report."""

    by_key: dict[Key, Run] = field(default_factory=dict)

    def refresh(self, picture: Picture, now: datetime) -> None:
        """Brings in new jobs and reports, and drops runs whose report was deleted after the job was gone."""
        jobs = {job.uid: job for job in picture.jobs.objects.values()}
        for job in jobs.values():
            self._see_job(job, picture)
        for key, report in picture.reports.objects.items():
            if not isinstance(report.spec, InvalidSpec):
                self._see_report(key, report, report.spec, jobs, now)
        for key in [key for key, run in self.by_key.items() if run.report is not None]:
            if key not in picture.reports.objects and self.by_key[key].job.uid not in jobs:
                del self.by_key[key]

    def _see_job(self, job: Job, picture: Picture) -> None:
        key = report_key(job)
        if key in self.by_key:
            self.by_key[key].job = job
            return
        namespace = picture.namespaces.objects.get(Key("", job.key.namespace))
        wanted = policy_of(job.annotations, namespace.annotations if namespace else {}) is not None
        if key in picture.reports.objects or (wanted and job.finished_at is None):
            self.by_key[key] = Run(job, key)

    def _see_report(
        self, key: Key, report: Report, spec: CarbonReportSpec, jobs: Mapping[str, Job], now: datetime
    ) -> None:
        run = self.by_key.get(key)
        if run is None:
            run = self.by_key[key] = Run(_gone(key, report, spec, now), key)
        if run.report is None:
            run.load(report)
        if run.job.uid not in jobs and run.job.finished_at is None:
            run.job = _gone(key, report, spec, now)

    def views(self, pods: Mapping[Key, Iterable[Pod]]) -> tuple[JobView, ...]:
        """All that are not closed, for the decision, each with what earlier runs of its workload tell."""
        open_runs = {key: run for key, run in self.by_key.items() if not run.closed}
        # Of the many reports that are kept, only those count that somebody asks for.
        past: dict[tuple[str, str], list[tuple[datetime, float]]] = {
            run.workload: [] for run in open_runs.values() if run.workload is not None and run.job.finished_at is None
        }
        for run in self.by_key.values():
            finished = run.job.finished_at
            if finished is not None and run.workload in past and (work_s := run.whole_work_s) is not None:
                past[run.workload].append((finished, work_s))
        known = {workload: tuple(work_s for _, work_s in sorted(runs)[-PAST_JOBS:]) for workload, runs in past.items()}

        def before(run: Run) -> tuple[float, ...]:
            return known.get(run.workload, ()) if run.workload is not None else ()

        return tuple(run.view(pods[key], before(run)) for key, run in open_runs.items())

    def pods(self, picture: Picture) -> dict[Key, list[Pod]]:
        """The pods of each run."""
        by_job: dict[str, list[Pod]] = {}
        for pod in picture.pods.objects.values():
            by_job.setdefault(pod.job_uid, []).append(pod)
        return {key: by_job.get(run.job.uid, []) for key, run in self.by_key.items()}


def _grid_key(status: CarbonReportStatus) -> tuple[str, Signal] | None:
    return None if status.zone is None or status.signal is None else (status.zone, status.signal)


def _gone(key: Key, report: Report, spec: CarbonReportSpec, now: datetime) -> Job:
    """A job that is not there any more, as far as its report tells."""
    status = report.status if isinstance(report.status, CarbonReportStatus) else CarbonReportStatus()
    named = {POLICY: status.policy, PROFILE: status.profile}
    return Job(
        key=Key(key.namespace, spec.job_ref.name),
        uid=spec.job_ref.uid,
        api_version=spec.job_ref.api_version,
        kind=spec.job_ref.kind,
        annotations={key: value for key, value in named.items() if value is not None},
        workers=0,
        suspended=False,
        finished_at=status.completion_time or now,
        succeeded=False,
        created_at=None,
    )


def with_cursor(run: Run, ledger: str, seq: int) -> None:
    """Starts a ledger for a run."""
    run.account = accounts.begin(run.account, ledger, seq)
    if run.what_if is not None:
        run.what_if = accounts.begin(run.what_if, ledger, seq)
    run.ledgers.add(ledger)


def begin_what_if(run: Run) -> None:
    """From now on an account of what would have been is kept beside the real one."""
    if run.what_if is None:
        run.what_if = replace(
            Account(), cursors=run.account.cursors, pods=run.account.pods, running=run.account.running
        )
