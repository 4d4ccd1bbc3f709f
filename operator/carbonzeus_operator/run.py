"""One run of one job that is accounted for: what the operator keeps in mind of it, beside what its report holds.

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
from carbonzeus_operator.grid.view import GridView
from carbonzeus_operator.learning.course import window_end
from carbonzeus_operator.learning.study import Study, Workers
from carbonzeus_operator.resources.annotations import PROFILE
from carbonzeus_operator.resources.report import CarbonReportStatus, JobResult, ReportState
from carbonzeus_operator.terms import accounting_terms, gpus_of
from carbonzeus_operator.waiting import STRAGGLERS, Watch, counted
from carbonzeus_operator.world.objects import Job, Key, Pod, all_running_since
from carbonzeus_operator.world.picture import Report
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
    study: Study | None = None
    """What is learned of its curve; None where it names a profile, or none can be learned."""
    learned: str | None = None
    """What the report keeps of it, until it is gone on with."""
    workers: Workers = field(default_factory=Workers)
    """Its GPUs, as last seen."""
    watch: Watch | None = None
    """What is heard of its workers; None where nobody may wait at a lower limit."""
    lowered: set[str] = field(default_factory=set)
    """UIDs of the pods that waited at one."""
    kept: tuple[Study, bool] | None = None
    """What its PowerProfile was last written with, and whether the job had ended."""
    problem: str | None = None
    """Why its report cannot be written or its account not be read."""
    _written: tuple[Account, Report, bool] | None = None
    """Whether that report holds that account, as looked at last: to write a long account out takes its time."""
    _due: tuple[Account, Account | None, datetime | None] | None = None
    """When something of these accounts is to be settled again, as looked at last."""

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
            and self.report is not None
            and isinstance(status, CarbonReportStatus)
            and status.state is ReportState.FINISHED
            and self._is_written(self.report, status)
        )

    def _is_written(self, report: Report, status: CarbonReportStatus) -> bool:
        known = self._written
        if known is None or known[0] is not self.account or known[1] is not report:
            known = self._written = (self.account, report, status.ledger == accounts.encode(self.account))
        return known[2]

    def is_due(self, now: datetime) -> bool:
        """Whether something of it is old enough to be settled again."""
        known = self._due
        if known is None or known[0] is not self.account or known[1] is not self.what_if:
            both = [accounts.next_due(one) for one in (self.account, self.what_if) if one is not None]
            due = min((one for one in both if one is not None), default=None)
            known = self._due = (self.account, self.what_if, due)
        return self.problem is None and known[2] is not None and known[2] <= now

    @property
    def all_in(self) -> bool:
        """Whether the records of all its pods are in, up to their ends."""
        last = max((pod.ended for pod in self.account.pods if pod.ended is not None), default=None)
        if any(pod.ended is None for pod in self.account.pods):
            return False
        return last is None or accounts.folded_until(self.account, self.ledgers) >= last + LAST_RECORDS

    def grid_of(self, grid: Mapping[tuple[str, Signal], GridView]) -> dict[str, GridView]:
        """What is known of the zones that its energy is drawn in, by `JobPod.zone`; its own is the empty one."""
        return {zone: grid[key] for zone, key in self.grid_keys().items() if key in grid}

    def grid_keys(self) -> dict[str, tuple[str, Signal]]:
        """The zones that its energy is drawn in and was drawn in as far as that is not settled, as in `grid_of`."""
        if self.grid_key is None:
            return {}
        zones = {pod.zone for pod in self.account.pods if pod.ended is None} | {
            cell.zone for account in (self.account, self.what_if) if account is not None for cell in account.cells
        }
        return {"": self.grid_key, **{zone: (zone, self.grid_key[1]) for zone in zones if zone}}

    def settle(self, grid: Mapping[tuple[str, Signal], GridView], now: datetime) -> None:
        """Applies what the grid published since."""
        views = self.grid_of(grid)
        if not views:
            return
        until, own = self.settled_until(), views.get("")
        series = {zone: (view.actual, view.forecast) for zone, view in views.items()}

        def settled(account: Account) -> Account:
            return accounts.settle(
                account,
                actual=own.actual if own is not None else None,
                forecast=own.forecast if own is not None else None,
                others=series,
                terms=self.terms,
                until=until,
                now=now,
            )

        self.account = settled(self.account)
        if self.what_if is not None:
            self.what_if = settled(self.what_if)

    def settled_until(self) -> datetime:
        """Up to when all records are in."""
        running = [self.ends.get(pod.uid) for pod in self.account.pods if pod.ended is None]
        known = accounts.folded_until(self.account, self.ledgers)
        return min([known, *(end for end in running if end is not None)])

    def observe(
        self, pods: Iterable[Pod], nodes: Mapping[str, NodeView], now: datetime, zones: Mapping[str, str] | None = None
    ) -> None:
        """Takes what the cluster shows of the job's pods, and the grid zones that they are in (`pod_zones`)."""
        pods = sorted(pods, key=lambda pod: pod.rank_order)
        products = {pod.uid: pod.product for pod in self.account.pods}
        places = {pod.uid: pod.zone for pod in self.account.pods} | dict(zones or {})
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
                    zone=places.get(pod.uid, ""),
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
        mine = self._mine(ledger, records)
        if self.study is not None:
            self._learn(mine, self.study)
        if self.watch is not None:
            self.watch = self.watch.heard(mine, self.account.running)
            self.lowered |= self.watch.needs.keys()
        steps = self.active.timeline if self.active is not None else ()
        held = counted(records, self.account.pods, self.lowered, steps)
        self.account = accounts.fold(self.account, ledger, held, self.terms, series=series)
        if self.what_if is not None:
            instead = [LimitStep(step.at, max(step.limits_w.values())) for step in steps]
            self.what_if = accounts.fold(self.what_if, ledger, records, self.terms, series=series, instead=instead)
        for record in records:
            if record.pod_uid is not None and any(pod.uid == record.pod_uid for pod in self.account.pods):
                self.ends[record.pod_uid] = max(record.end, self.ends.get(record.pod_uid, record.end))

    def _mine(self, ledger: str, records: Iterable[EnergyRecord]) -> list[EnergyRecord]:
        """The records of its pods that are not folded yet."""
        cursor = self.account.cursors.get(ledger)
        uids, names = {pod.uid for pod in self.account.pods}, {pod.name for pod in self.account.pods}
        return [
            record
            for record in records
            if (cursor is None or record.seq > cursor.seq)
            and (record.pod_uid in uids or (record.pod_uid is None and record.pod in names))
        ]

    def _learn(self, mine: Iterable[EnergyRecord], study: Study) -> None:
        """Before the account: what a window taught counts for its own energy, too."""
        self.study = study = study.heard(mine, self.workers, self.account.running)
        product = self.terms.products.get(study.subject.product)
        if product is not None and product.curve is not None:
            products = {**self.terms.products, study.subject.product: replace(product, curve=study.whole)}
            self.terms = replace(self.terms, products=products)

    def decided(self, active: ActivePlan | None) -> None:
        """Takes the plan that is followed from now on."""
        window = active.window if active is not None and active is not self.active else None
        if window is not None and self.study is not None:
            self.study = self.study.taken(window)
        self.active = active

    def window_end(self) -> datetime | None:
        """When the window that is under way, or not heard of yet, is over; None where there is none."""
        if self.active is None or self.active.window is None or self.study is None or self.job.finished_at is not None:
            return None
        return window_end(self.active, self.study)

    def view(self, pods: Iterable[Pod], past_work_s: tuple[float, ...] = ()) -> JobView:
        """For the decision."""
        ranked = tuple(sorted(pods, key=lambda pod: pod.rank_order))
        status = self.report.status if self.report is not None else None
        conditions = status.conditions if isinstance(status, CarbonReportStatus) else ()
        told = any(one.type == STRAGGLERS for one in conditions)
        needs = self.watch.needs if self.watch is not None else {}
        return JobView(self.job, ranked, self.measured, self.active, past_work_s, self.study, needs, told)

    @property
    def workload(self) -> tuple[str, str] | None:
        """(namespace, profile): runs under one PowerProfile are runs of one workload. None where it has none."""
        profile = self.job.annotations.get(PROFILE)
        if profile is None:
            status = self.report.status if self.report is not None else None
            profile = status.profile if isinstance(status, CarbonReportStatus) else None
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
        self.study, self.learned = None, report.status.learning.state if report.status.learning is not None else None
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


def _grid_key(status: CarbonReportStatus) -> tuple[str, Signal] | None:
    return None if status.zone is None or status.signal is None else (status.zone, status.signal)
