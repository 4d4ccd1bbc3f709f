"""Elapsed and work while records are folded: the records of one pod, the leader, are the job's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from carbonzeus_operator.account.cells import cells_between, overlap_us, share, to_us
from carbonzeus_operator.account.model import Account, JobPod
from carbonzeus_operator.account.speed import Speed
from carbonzeus_operator.account.sums import CellKey, Sum
from carbonzeus_operator.account.terms import Terms
from carbonzeus_wire import EnergyRecord

_FAR_US = 2**62
_LEAP = 4
_LEAP_US = 60_000_000
"""A counter that rises by more than four times the reference speed, and a minute, leapt."""
_MOST_STEPS = 1e12
"""More in one record is no count of steps."""


class WorkTime:
    """Elapsed, work and steps of an account being added to, in total and in each cell."""

    def __init__(self, account: Account, terms: Terms, sums: dict[CellKey, Sum]) -> None:
        self.elapsed_us = account.elapsed_us
        self.work_us = account.work_us
        self.progress_milli = account.progress_milli
        self._terms = terms
        self._sums = sums
        self._at: Sequence[int] = ()
        self._zone = ""
        self._running = [
            (to_us(span.start), _FAR_US if span.end is None else to_us(span.end)) for span in account.running
        ]

    def add(
        self, record: EnergyRecord, pod: JobPod, pieces: Sequence[tuple[int, int, Speed]], at: Sequence[int]
    ) -> JobPod:
        """Adds a record of the leader, cut into pieces of one speed. Returns the pod, which may have got its clock.

        `at`: where the cells are cut beside the quarters of an hour. With steps the records of the GPU that carries them are
        the clock. Time in which nobody looked at the steps is judged by the curve: leaving it out would hide a slowdown.
        """
        self._at = at
        self._zone = pod.zone
        self.progress_milli += round(min(record.progress or 0.0, _MOST_STEPS) * 1000)
        if not self._terms.progress:
            self._run_clock(pieces, None, max(pod.gpus, 1))
        elif pod.clock_gpu == record.gpu_uuid or (pod.clock_gpu and record.progress is not None):
            pod = replace(pod, clock_gpu=record.gpu_uuid)
            counted_us = self._counted_us(record)
            if counted_us is not None and pod.ended is not None and record.end > pod.ended:
                self._edge_clock(record, pieces[0][2], counted_us, starting=False)
            else:
                self._run_clock(pieces, counted_us, 1)
        elif not pod.clock_gpu and record.progress:
            pod = replace(pod, clock_gpu=record.gpu_uuid)
            counted_us = self._counted_us(record)
            if counted_us is not None:
                self._edge_clock(record, pieces[-1][2], counted_us, starting=True)
        return pod

    def _counted_us(self, record: EnergyRecord) -> float | None:
        """The time that the record's steps take at the reference limit.

        None where nobody looked, where no rate is known, and where the counter leapt, as it does when a job that goes on
        from a checkpoint sets it anew: that was not done now. After looks that failed it may catch up with what is missing.
        """
        rate = self._terms.reference_rate
        if rate is None or record.progress is None:
            return None
        counted_us = record.progress / rate * 1e6
        missing_us = max(self.elapsed_us - self.work_us, 0)
        most_us = _LEAP * (to_us(record.end) - to_us(record.start)) + _LEAP_US + missing_us
        return counted_us if counted_us <= most_us else None

    def _run_clock(self, pieces: Sequence[tuple[int, int, Speed]], counted_us: float | None, gpus: int) -> None:
        """Adds a record's share of elapsed and work: by its steps, or by the curve where those are None."""
        ran_us = sum(overlap_us(low, high, self._running) for low, high, _ in pieces)
        done_us = 0
        for piece_start, piece_end, speed in pieces:
            for cell in cells_between(piece_start, piece_end, self._at):
                low, high = max(cell[0], piece_start), min(cell[1], piece_end)
                here_us = overlap_us(low, high, self._running)
                if not here_us:
                    continue
                elapsed_us = (done_us + here_us) // gpus - done_us // gpus
                if counted_us is None:
                    work_us = round(here_us / gpus * speed.r)
                else:
                    work_us = round(counted_us * here_us / ran_us * speed.r / speed.r_measured)
                done_us += here_us
                self._count_time(cell, elapsed_us, work_us)

    def _edge_clock(self, record: EnergyRecord, speed: Speed, counted_us: float, *, starting: bool) -> None:
        """The clock starts somewhere inside the record with the first steps, or stops with the last: for as long as they take.

        So start-up and tear-down time belong to nobody, and the steps count as work.
        """
        start_us, end_us = to_us(record.start), to_us(record.end)
        work_us = round(counted_us)
        elapsed_us = min(round(work_us / max(speed.r_measured, 1e-6)), end_us - start_us)
        if speed.r != speed.r_measured:
            work_us = round(work_us * speed.r / speed.r_measured)
        from_us = end_us - elapsed_us if starting else start_us
        until_us = from_us + elapsed_us
        for low, high in cells_between(from_us, until_us, self._at):
            begin_us, stop_us = max(low, from_us) - from_us, min(high, until_us) - from_us
            part_us = share(work_us, stop_us, elapsed_us) - share(work_us, begin_us, elapsed_us)
            self._count_time((low, high), stop_us - begin_us, part_us)

    def _count_time(self, cell: tuple[int, int], elapsed_us: int, work_us: int) -> None:
        into = self._sums.setdefault((*cell, self._zone), Sum())
        into.elapsed_us += elapsed_us
        into.work_us += work_us
        self.elapsed_us += elapsed_us
        self.work_us += work_us
