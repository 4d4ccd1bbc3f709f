"""Energy records in, exactly once: the cursor of a ledger moves in the same value as the sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from carbonzeus_operator.account.cells import cells_between, cuts, overlap_us, share, to_us
from carbonzeus_operator.account.model import MAX_PODS, MAX_SPANS, Account, Cell, Cursor, JobPod, Model, Span
from carbonzeus_operator.account.terms import LimitStep, Product, Terms
from carbonzeus_operator.grid.series import Series
from carbonzeus_wire import EnergyRecord, Quality

_NJ_PER_MJ = 1_000_000
_NJ_PER_W_US = 1_000
_CLOCK_STEP = timedelta(seconds=1)
"""Kubernetes tells the ends of containers in whole seconds, cut off."""
_FAR_US = 2**62


def begin(account: Account, ledger_id: str, seq: int) -> Account:
    """Starts a ledger after `seq`, unless it is known: records up to there will never be this job's.

    Without it a ledger starts at 0, which is always right and may mean reading a long ledger.
    """
    if ledger_id in account.cursors:
        return account
    return replace(account, cursors={**account.cursors, ledger_id: Cursor(seq)})


def folded_until(account: Account, ledger_ids: Iterable[str]) -> datetime:
    """Up to when the records of all these ledgers are in; 1970 while one of them has none."""
    known = [account.cursors.get(ledger_id) for ledger_id in ledger_ids]
    ends = [cursor.until if cursor is not None else None for cursor in known]
    return min((end or datetime.fromtimestamp(0, UTC) for end in ends), default=datetime.fromtimestamp(0, UTC))


def observe(account: Account, pods: Iterable[JobPod], *, running_since: datetime | None, now: datetime) -> Account:
    """Takes what the cluster shows: the job's pods with GPUs, and since when all workers run (None: they do not).

    A pod that is no longer shown has ended now, unless its end was seen. A wrong end is set right when it shows again.
    """
    shown = {pod.uid: pod for pod in pods}
    known = {pod.uid: pod for pod in account.pods}
    merged = [replace(pod, ended=now) if pod.ended is None and pod.uid not in shown else pod for pod in known.values()]
    merged = [
        replace(shown[pod.uid], started=min(pod.started, shown[pod.uid].started), clock_gpu=pod.clock_gpu)
        if pod.uid in shown
        else pod
        for pod in merged
    ]
    merged += [pod for uid, pod in shown.items() if uid not in known]
    kept, retired_us = _within_bounds(merged)
    return replace(
        account,
        pods=kept,
        retired_us=account.retired_us + retired_us,
        running=_spans(account.running, kept, running_since, now)[-MAX_SPANS:],
    )


def fold(
    account: Account,
    ledger_id: str,
    records: Iterable[EnergyRecord],
    terms: Terms,
    *,
    series: Sequence[Series | None] = (),
    instead: Sequence[LimitStep] | None = None,
) -> Account:
    """The account with the records of one ledger in it. Records at or below the cursor are passed over.

    Of records that are not the job's only the cursor takes note. `series` are the forecast and the actual as known now:
    time is cut where their intervals end. `instead` are the limits that would have held (mode Recommend): the account is
    then of what they would have done, in the same time; before the first step the measured limit stands.
    """
    cursor = account.cursors.get(ledger_id, Cursor(0))
    fresh = sorted((record for record in records if record.seq > cursor.seq), key=lambda record: record.seq)
    if not fresh:
        return account
    working = _Working(account, terms, instead)
    mine = [(record, pod) for record in fresh if (pod := working.owner(record)) is not None]
    if mine:
        first = min(record.start for record, _ in mine)
        last = max(record.end for record, _ in mine)
        working.at = cuts(series, first, last)
    seq = cursor.seq
    for record, pod in mine:
        if record.seq > seq:
            working.add(record, working.pods[pod.uid])
            seq = record.seq
    until = max((record.end for record in fresh), default=None)
    if cursor.until is not None and until is not None:
        until = max(until, cursor.until)
    return working.done({**account.cursors, ledger_id: Cursor(fresh[-1].seq, until)})


def _within_bounds(pods: Sequence[JobPod]) -> tuple[tuple[JobPod, ...], int]:
    """The pods to remember, and the GPU time [us] of those to forget."""
    if len(pods) <= MAX_PODS:
        return tuple(pods), 0
    ended = sorted((pod.ended, pod.uid) for pod in pods if pod.ended is not None)
    forgotten = {uid for _, uid in ended[: len(pods) - MAX_PODS]}
    retired_us = sum(
        pod.gpus * max(to_us(pod.ended) - to_us(pod.started), 0)
        for pod in pods
        if pod.uid in forgotten and pod.ended is not None
    )
    return tuple(pod for pod in pods if pod.uid not in forgotten), retired_us


def _spans(
    before: tuple[Span, ...], pods: Sequence[JobPod], running_since: datetime | None, now: datetime
) -> tuple[Span, ...]:
    last = before[-1] if before else None
    if last is not None and last.end is None:
        if running_since is not None and running_since <= last.start:
            return before
        ends = [pod.ended + _CLOCK_STEP for pod in pods if pod.ended is not None and pod.ended > last.start]
        end = min([*ends, running_since or now, now])
        before = (*before[:-1], Span(last.start, end)) if end > last.start else before[:-1]
        last = before[-1] if before else None
    if running_since is None:
        return before
    start = running_since if last is None or last.end is None else max(running_since, last.end)
    return (*before, Span(start))


@dataclass(slots=True)
class _Sum:
    """A cell that is being added to."""

    energy_nj: int = 0
    host_nj: int = 0
    fixed_nj: int = 0
    constant_nj: int = 0
    host_baseline_nj: int = 0
    elapsed_us: int = 0
    work_us: int = 0
    models: dict[str, Model] = field(default_factory=dict)

    def on(self, cell: Cell) -> Cell:
        models = dict(cell.models)
        for product, model in self.models.items():
            models[product] = models.get(product, Model()) + model
        return replace(
            cell,
            energy_nj=cell.energy_nj + self.energy_nj,
            host_nj=cell.host_nj + self.host_nj,
            fixed_nj=cell.fixed_nj + self.fixed_nj,
            constant_nj=cell.constant_nj + self.constant_nj,
            host_baseline_nj=cell.host_baseline_nj + self.host_baseline_nj,
            elapsed_us=cell.elapsed_us + self.elapsed_us,
            work_us=cell.work_us + self.work_us,
            models=models,
        )


@dataclass(frozen=True, slots=True)
class _Speed:
    """What the limits of a stretch of time mean. Powers relative to that at the measured limit."""

    r: float
    """Throughput at the limit that counts."""
    r_measured: float
    """Throughput at the limit that really held."""
    power: float = 1.0
    reference_power: float | None = None
    """None: no curve."""


class _Working:
    """An account being added to."""

    def __init__(self, account: Account, terms: Terms, instead: Sequence[LimitStep] | None) -> None:
        self._account = account
        self._terms = terms
        self._steps = None if instead is None else [(to_us(step.at), step.limit_w) for step in instead]
        self.pods = {pod.uid: pod for pod in account.pods}
        self._by_name: dict[str, list[JobPod]] = {}
        for pod in account.pods:
            self._by_name.setdefault(pod.name, []).append(pod)
        self._running = [
            (to_us(span.start), _FAR_US if span.end is None else to_us(span.end)) for span in account.running
        ]
        self.at: tuple[int, ...] = ()
        self._sums: dict[tuple[int, int], _Sum] = {}
        self._energy_mj = account.energy_mj
        self._modelled_nj = account.modelled_nj
        self._measured_us = account.measured_us
        self._progress_milli = account.progress_milli

    def owner(self, record: EnergyRecord) -> JobPod | None:
        """The job's pod that held the GPU; by name where no plan had told the UID yet."""
        if record.pod_uid is not None:
            return self.pods.get(record.pod_uid)
        found = [
            pod
            for pod in self._by_name.get(record.pod or "", ())
            if record.end > pod.started and (pod.ended is None or record.start < pod.ended + _CLOCK_STEP)
        ]
        return max(found, key=lambda pod: pod.started, default=None)

    def add(self, record: EnergyRecord, pod: JobPod) -> None:
        start_us, end_us = to_us(record.start), to_us(record.end)
        product = self._terms.products.get(pod.product)
        measured = record.quality is not Quality.GAP
        pieces = [
            (low, high, _speed(record, product, limit_w)) for low, high, limit_w in self._pieces(start_us, end_us)
        ]
        if measured:
            self._measured_us += end_us - start_us
            self._add_energy(record, pod.product, pieces)
        if pod.leader:
            self._add_time(record, pod, pieces, measured=measured)

    def done(self, cursors: Mapping[str, Cursor]) -> Account:
        account = self._account
        cells = {(cell.start_us, cell.end_us): cell for cell in account.cells}
        models = dict(account.models)
        elapsed_us, work_us, frontier_lag_us = account.elapsed_us, account.work_us, account.frontier_lag_us
        for key, added in self._sums.items():
            cell = cells.get(key, Cell(*key))
            cells[key] = added.on(cell)
            elapsed_us += added.elapsed_us
            work_us += added.work_us
            if cell.lag_us is not None:
                frontier_lag_us += added.elapsed_us - added.work_us
            for product, model in added.models.items():
                models[product] = models.get(product, Model()) + model
        return replace(
            account,
            cursors=cursors,
            pods=tuple(self.pods.values()),
            energy_mj=self._energy_mj,
            modelled_nj=self._modelled_nj,
            measured_us=self._measured_us,
            elapsed_us=elapsed_us,
            work_us=work_us,
            frontier_lag_us=frontier_lag_us,
            progress_milli=self._progress_milli,
            models=models,
            cells=tuple(cells[key] for key in sorted(cells)),
        )

    def _pieces(self, start_us: int, end_us: int) -> Iterator[tuple[int, int, float | None]]:
        """The record's time cut at the steps of the limits that would have held; without them, whole."""
        if self._steps is None:
            yield start_us, end_us, None
            return
        bounds = sorted({start_us, end_us, *(at for at, _ in self._steps if start_us < at < end_us)})
        for low, high in pairwise(bounds):
            yield low, high, next((limit_w for at, limit_w in reversed(self._steps) if at <= low), None)

    def _add_energy(self, record: EnergyRecord, product: str, pieces: Sequence[tuple[int, int, _Speed]]) -> None:
        start_us, whole_us = to_us(record.start), to_us(record.end) - to_us(record.start)
        total_nj = record.energy_millijoules * _NJ_PER_MJ
        host_nj_per_us = self._terms.host_w_per_gpu * _NJ_PER_W_US
        counted_nj = 0
        for piece_start, piece_end, speed in pieces:
            for cell in cells_between(piece_start, piece_end, self.at):
                low, high = max(cell[0], piece_start), min(cell[1], piece_end)
                drawn_nj = share(total_nj, high - start_us, whole_us) - share(total_nj, low - start_us, whole_us)
                energy_nj = drawn_nj if speed.power == 1.0 else round(drawn_nj * speed.power)
                counted_nj += energy_nj
                host_nj = round((high - low) * host_nj_per_us)
                into = self._sums.setdefault(cell, _Sum())
                into.energy_nj += energy_nj
                into.host_nj += host_nj
                into.constant_nj += host_nj
                if speed.reference_power is None:
                    into.fixed_nj += energy_nj + host_nj
                    into.constant_nj += energy_nj
                    continue
                self._modelled_nj += energy_nj
                into.host_baseline_nj += round(host_nj * speed.r)
                reference_nj = drawn_nj * speed.reference_power
                into.models[product] = into.models.get(product, Model()) + Model(
                    round(reference_nj * speed.r), round(reference_nj)
                )
        self._energy_mj += (counted_nj + _NJ_PER_MJ // 2) // _NJ_PER_MJ

    def _add_time(
        self, record: EnergyRecord, pod: JobPod, pieces: Sequence[tuple[int, int, _Speed]], *, measured: bool
    ) -> None:
        """Elapsed and work. The leader's records are the clock: with steps, those of the GPU that carries them."""
        self._progress_milli += round((record.progress or 0.0) * 1000)
        rate = self._terms.reference_rate if self._terms.progress else None
        if not self._terms.progress:
            gpus = max(pod.gpus, 1)
        elif pod.clock_gpu == record.gpu_uuid:
            gpus = 1
        else:
            if not pod.clock_gpu and record.progress:
                self.pods[pod.uid] = replace(pod, clock_gpu=record.gpu_uuid)
                self._add_first_steps(record, pieces, rate)
            return
        if not measured and record.progress is None:
            return
        ran_us = sum(overlap_us(low, high, self._running) for low, high, _ in pieces)
        step_us = 0.0 if rate is None else (record.progress or 0.0) / rate * 1e6
        done_us = 0
        for piece_start, piece_end, speed in pieces:
            for cell in cells_between(piece_start, piece_end, self.at):
                low, high = max(cell[0], piece_start), min(cell[1], piece_end)
                here_us = overlap_us(low, high, self._running)
                if not here_us:
                    continue
                elapsed_us = (done_us + here_us) // gpus - done_us // gpus
                if rate is None:
                    work_us = round(here_us / gpus * speed.r)
                else:
                    work_us = round(step_us * here_us / ran_us * speed.r / speed.r_measured)
                done_us += here_us
                into = self._sums.setdefault(cell, _Sum())
                into.elapsed_us += elapsed_us
                into.work_us += work_us

    def _add_first_steps(
        self, record: EnergyRecord, pieces: Sequence[tuple[int, int, _Speed]], rate: float | None
    ) -> None:
        """The clock starts somewhere inside the record with the first steps: as much before its end as they take.

        So start-up time belongs to nobody, and the steps count as work.
        """
        if rate is None or not record.progress:
            return
        end_us = to_us(record.end)
        work_us = round(record.progress / rate * 1e6)
        speed = pieces[-1][2]
        elapsed_us = min(round(work_us / max(speed.r_measured, 1e-6)), end_us - to_us(record.start))
        if speed.r != speed.r_measured:
            work_us = round(work_us * speed.r / speed.r_measured)
        from_us = end_us - elapsed_us
        for low, high in cells_between(from_us, end_us, self.at):
            begin_us, stop_us = max(low, from_us) - from_us, min(high, end_us) - from_us
            into = self._sums.setdefault((low, high), _Sum())
            into.elapsed_us += stop_us - begin_us
            into.work_us += share(work_us, stop_us, elapsed_us) - share(work_us, begin_us, elapsed_us)


def _speed(record: EnergyRecord, product: Product | None, instead_w: float | None) -> _Speed:
    if product is None:
        return _Speed(1.0, 1.0)
    measured_w = product.reference_limit_w if record.limit_watts is None else record.limit_watts
    if product.curve is None:
        bound = _lower_bound(record, product, measured_w)
        return _Speed(bound, bound)
    reference_power_w, _ = product.curve.at(product.reference_limit_w)
    power_w, r = product.curve.at(measured_w)
    if instead_w is None:
        return _Speed(r, r, 1.0, reference_power_w / power_w)
    would_w, would_r = product.curve.at(instead_w)
    return _Speed(would_r, r, would_w / power_w, reference_power_w / power_w)


def _lower_bound(record: EnergyRecord, product: Product, limit_w: float) -> float:
    """What does not depend on a clock does not slow down with it: the lower of both ratios bounds r from below.

    Without clocks the share of the limit does: speed falls slower than power.
    """
    if limit_w >= product.reference_limit_w:
        return 1.0
    ratios = [
        mean / reference
        for mean, reference in (
            (record.mean_sm_clock_mhz, product.reference_sm_mhz),
            (record.mean_memory_clock_mhz, product.reference_memory_mhz),
        )
        if mean is not None and reference is not None
    ]
    return min([1.0, *ratios]) if len(ratios) == 2 else limit_w / product.reference_limit_w
