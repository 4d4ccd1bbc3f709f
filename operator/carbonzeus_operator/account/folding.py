"""Energy records in, exactly once: the cursor of a ledger moves in the same value as the sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

from carbonzeus_operator.account.cells import cells_between, cuts, share, to_us
from carbonzeus_operator.account.model import Account, Cell, Cursor, JobPod, Model
from carbonzeus_operator.account.observation import CLOCK_STEP
from carbonzeus_operator.account.settlement import bounded
from carbonzeus_operator.account.speed import Speed, speed_of
from carbonzeus_operator.account.sums import CellKey, Sum
from carbonzeus_operator.account.terms import LimitStep, Terms
from carbonzeus_operator.account.worktime import WorkTime
from carbonzeus_operator.grid.series import Series
from carbonzeus_wire import EnergyRecord, Quality

_NJ_PER_MJ = 1_000_000
_NJ_PER_W_US = 1_000


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

    Of records that are not the job's only the cursor takes note. `series` are the forecast and the actual as known now, of
    all zones of the job: time is cut where their intervals end. `instead` are the limits that would have held (mode Recommend): the account is
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
        self.at: tuple[int, ...] = ()
        self._sums: dict[CellKey, Sum] = {}
        self._energy_mj = account.energy_mj
        self._modelled_nj = account.modelled_nj
        self._limited_nj = account.limited_nj
        self._measured_us = account.measured_us
        self._time = WorkTime(account, terms, self._sums)

    def owner(self, record: EnergyRecord) -> JobPod | None:
        """The job's pod that held the GPU; by name where no plan had told the UID yet."""
        if record.pod_uid is not None:
            return self.pods.get(record.pod_uid)
        found = [
            pod
            for pod in self._by_name.get(record.pod or "", ())
            if record.end > pod.started and (pod.ended is None or record.start < pod.ended + CLOCK_STEP)
        ]
        return max(found, key=lambda pod: pod.started, default=None)

    def add(self, record: EnergyRecord, pod: JobPod) -> None:
        start_us, end_us = to_us(record.start), to_us(record.end)
        product = self._terms.products.get(pod.product)
        # Nobody saw the limit of a gap: an agent that is killed leaves the last one in force.
        held_w = pod.clock_limit_w if record.limit_watts is None else record.limit_watts
        pieces = [
            (low, high, speed_of(record, product, held_w, limit_w))
            for low, high, limit_w in self._pieces(start_us, end_us)
        ]
        if record.quality is not Quality.GAP:
            self._measured_us += end_us - start_us
            self._add_energy(record, pod, pieces)
        if pod.leader:
            self.pods[pod.uid] = replace(self._time.add(record, pod, pieces, self.at), clock_limit_w=held_w)

    def done(self, cursors: Mapping[str, Cursor]) -> Account:
        account = self._account
        cells = {(cell.start_us, cell.end_us, cell.zone): cell for cell in account.cells}
        models = dict(account.models)
        frontier_lag_us = account.frontier_lag_us
        for key, added in self._sums.items():
            cell = cells.get(key, Cell(*key))
            cells[key] = added.on(cell)
            if cell.lag_us is not None:
                frontier_lag_us += added.elapsed_us - added.work_us
            for product, model in added.models.items():
                models[product] = models.get(product, Model()) + model
        folded = replace(
            account,
            cursors=cursors,
            pods=tuple(self.pods.values()),
            energy_mj=self._energy_mj,
            modelled_nj=self._modelled_nj,
            limited_nj=self._limited_nj,
            measured_us=self._measured_us,
            elapsed_us=self._time.elapsed_us,
            work_us=self._time.work_us,
            frontier_lag_us=frontier_lag_us,
            progress_milli=self._time.progress_milli,
            models=models,
            cells=tuple(cells[key] for key in sorted(cells)),
        )
        return bounded(folded, self._terms)

    def _pieces(self, start_us: int, end_us: int) -> Iterator[tuple[int, int, float | None]]:
        """The record's time cut at the steps of the limits that would have held; without them, whole."""
        if self._steps is None:
            yield start_us, end_us, None
            return
        bounds = sorted({start_us, end_us, *(at for at, _ in self._steps if start_us < at < end_us)})
        for low, high in pairwise(bounds):
            yield low, high, next((limit_w for at, limit_w in reversed(self._steps) if at <= low), None)

    def _add_energy(self, record: EnergyRecord, pod: JobPod, pieces: Sequence[tuple[int, int, Speed]]) -> None:
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
                into = self._sums.setdefault((*cell, pod.zone), Sum())
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
                model = Model(round(reference_nj * speed.r), round(reference_nj))
                into.models[pod.product] = into.models.get(pod.product, Model()) + model
                if speed.is_limited:
                    self._limited_nj += model.baseline_nj
        self._energy_mj += (counted_nj + _NJ_PER_MJ // 2) // _NJ_PER_MJ
