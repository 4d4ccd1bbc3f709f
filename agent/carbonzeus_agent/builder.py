"""Pure: from samples of one GPU to energy records that lie end to end.

A record ends where the owner or the limit changes and at every UTC multiple of the record length. The energy at such an
instant is interpolated between the two samples around it, weighted with power, and cumulated in whole millijoules: so the
energies of the records between two samples sum exactly to the rise of the board's counter.

What was not measured is a Gap: a record without energy, so that the time line has no holes and nobody takes a hole for zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from carbonzeus_agent.records import NOBODY, Closed, OpenRecord, Owner, Sample

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_STEP = timedelta(seconds=0.5)
"""From here on the wall clock was set, not slewed."""
UNDER_WAY = timedelta(seconds=1)
"""A Gap is carried on up to here before now: a sample may be on its way."""
COUNTER_LAG_S = 0.25
"""A counter stands still for about 100 ms and then jumps; generously."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """An instant at which a record ends; the next begins with another owner or limit where one is given."""

    at: datetime
    owner: Owner | None = None
    limit_w: float | None = None
    relimit: bool = False

    @property
    def real(self) -> bool:
        """Something about the GPU changes, so that what it showed later says nothing about before."""
        return self.owner is not None or self.relimit


@dataclass(frozen=True, slots=True)
class _Interval:
    """What happened between two samples."""

    energy_mj: int
    integrated: bool
    share: Callable[[float], float]
    """The part of the energy spent in the first `x` of the time, x in [0, 1]; rises from 0 to 1."""
    before: Sample
    after: Sample


def boundaries(after: datetime, upto: datetime, every: timedelta) -> Iterator[datetime]:
    """The UTC multiples of `every` in (after, upto]."""
    at = EPOCH + ((after - EPOCH) // every + 1) * every
    while at <= upto:
        yield at
        at += every


class RecordBuilder:
    """The records of one GPU. Feed it owner changes, samples and, now and then, the time.

    `bridge_s` is how long it waits for a sample before it calls the time a Gap. A hole up to there is covered by the
    counter, which went on counting, provided that one owner held the GPU throughout; `blink_s` is how long a hole may be
    for interpolation to be fair even across a change of owner. `ceiling_w`: no board draws more for long, so a counter
    that says so has jumped, and power is integrated instead. `every` may be changed at any time.
    """

    def __init__(self, gpu: str, *, every: timedelta, bridge_s: float, blink_s: float, ceiling_w: float) -> None:
        self._gpu = gpu
        self.every = every
        self._bridge_s = bridge_s
        self._blink_s = blink_s
        self._ceiling_w = ceiling_w
        self._owner = NOBODY
        self._pending: list[_Cut] = []
        self._open: OpenRecord | None = None
        self._upto = EPOCH
        """The open record holds everything up to here."""
        self._last: Sample | None = None
        """None before the first sample and inside a Gap."""
        self._sampled = False
        self._advanced_s = 0.0
        """When the Gap was last carried on, on the boot clock."""
        self._residue_mj = 0.0

    @property
    def owner(self) -> Owner:
        """The owner by the newest change, also by one that no sample has reached yet."""
        return next((cut.owner for cut in reversed(self._pending) if cut.owner is not None), self._owner)

    def resume(self, upto: datetime, owner: Owner) -> None:
        """The ledger already reaches `upto`; from there to the first sample is a Gap of `owner`. Call before all else."""
        self._open = OpenRecord(upto, owner, None, gap=True)
        self._upto = upto

    def own(self, at: datetime, owner: Owner) -> None:
        """From `at` on `owner` holds the GPU."""
        if not self._sampled:
            self._owner = owner
        elif owner != self.owner:
            self._pending.append(_Cut(at, owner=owner))

    def cut(self, at: datetime) -> None:
        """End the record at `at`, though nothing about the GPU changes."""
        self._pending.append(_Cut(at))

    def observe(self, sample: Sample) -> list[Closed]:
        """Take in a sample; returns what it closed."""
        out: list[Closed] = []
        last = self._last
        if last is None:
            if self._open is not None and sample.boot_s <= self._advanced_s and sample.at < self._upto:
                # It took so long to come back that its time has been called a Gap already: it counts from there on.
                late_s = (self._upto - sample.at).total_seconds()
                sample = replace(sample, at=self._upto, boot_s=sample.boot_s + late_s)
            if self._open is not None and sample.at > self._upto:
                self._extend(sample.at, None, out)
            self._begin(sample.at, sample, out)
        else:
            expected = last.at + timedelta(seconds=sample.boot_s - last.boot_s)
            if abs(sample.at - expected) <= CLOCK_STEP and sample.at >= self._upto:
                self._measure(last, sample, sample.at, out)
            else:
                # Somebody set the clock. The energy belongs to the time that passed; a jump ahead leaves a Gap.
                self._measure(last, sample, max(expected, self._upto), out)
                if sample.at > self._upto:
                    self._begin_gap(out)
                    self._upto = sample.at
                self._begin(sample.at, sample, out)
        self._last = sample
        self._sampled = True
        return out

    def advance(self, now: datetime, boot_s: float) -> list[Closed]:
        """Without a sample for too long, what passed since the last one is a Gap; returns what closed."""
        out: list[Closed] = []
        if self._last is not None:
            if boot_s - self._last.boot_s <= self._bridge_s:
                return out
            self._begin_gap(out)
            self._last = None
        if self._open is not None and now - UNDER_WAY > self._upto:
            self._extend(now - UNDER_WAY, None, out)
            self._advanced_s = boot_s
        return out

    def unfinished(self) -> Closed | None:
        """The open record as it stands at the last sample: what a successor finds if we die now."""
        if self._open is None or self._open.gap or self._upto <= self._open.start:
            return None
        return self._open.closed(self._gpu, self._upto)

    def finish(self) -> list[Closed]:
        """Close the open record at the last sample: nothing follows."""
        out = [record for record in [self.unfinished()] if record is not None]
        self._open = self._last = None
        return out

    def _measure(self, last: Sample, sample: Sample, to: datetime, out: list[Closed]) -> None:
        """Carry the open record on to `to`, the instant of `sample`, with the energy in between."""
        elapsed_s = sample.boot_s - last.boot_s
        hole = elapsed_s > self._blink_s
        energy_mj, integrated = self._energy(last, sample, elapsed_s)
        handed_over = any(cut.owner is not None for cut in self._pending)
        if energy_mj is None or (hole and handed_over):
            self._begin_gap(out)
            self._extend(to, None, out)
            self._begin(to, sample, out)
            return
        cuts: list[_Cut] = []
        if last.limit_w != sample.limit_w:
            at = sample.limit_since or self._upto + (to - self._upto) / 2
            if hole and sample.limit_since is None:
                # When it changed, nobody knows: the energy is right, but the limit of this stretch is not known.
                cuts.append(_Cut(self._upto, relimit=True))
                at = to
            at = min(max(at, self._upto), to)
            cuts.append(_Cut(at, limit_w=sample.limit_w, relimit=True))
        share = _share(last, sample, energy_mj, elapsed_s)
        self._extend(to, _Interval(energy_mj, integrated, share, last, sample), out, cuts)

    def _energy(self, last: Sample, sample: Sample, elapsed_s: float) -> tuple[int | None, bool]:
        """Energy between two samples [mJ] and whether it was integrated from power; None if nothing tells."""
        before, after = last.reading.energy_mj, sample.reading.energy_mj
        if before is not None and after is not None:
            rise_mj = after - before
            if 0 <= rise_mj <= self._ceiling_w * (elapsed_s + COUNTER_LAG_S) * 1000:
                return rise_mj, False
        powers = [power for power in (last.reading.power_w, sample.reading.power_w) if power is not None]
        if not powers:
            return None, True
        exact_mj = sum(powers) / len(powers) * elapsed_s * 1000 + self._residue_mj
        whole_mj = max(0, round(exact_mj))
        self._residue_mj = exact_mj - whole_mj
        return whole_mj, True

    def _extend(
        self, to: datetime, interval: _Interval | None, out: list[Closed], limits: list[_Cut] | None = None
    ) -> None:
        """Carry the open record on to `to`, ending it at every cut on the way. No interval: nobody measured."""
        assert self._open is not None
        start = self._upto
        cuts = [_Cut(at) for at in boundaries(start, to, self.every)]
        cuts += [cut for cut in self._pending if cut.at <= to]
        cuts += limits or []
        self._pending = [cut for cut in self._pending if cut.at > to]
        cuts.sort(key=lambda cut: cut.at)
        done_mj = 0
        for index, cut in enumerate(cuts):
            at = max(cut.at, start)
            changes = any(later.real for later in cuts[index:])
            done_mj += self._carry(start, at, to, interval, done_mj, changes=changes)
            self._close(out)
            if cut.owner is not None:
                self._owner = self._open.owner = cut.owner
            if cut.relimit:
                self._open.limit_w = cut.limit_w
        self._carry(start, to, to, interval, done_mj, changes=False)

    def _carry(
        self, start: datetime, at: datetime, to: datetime, interval: _Interval | None, done_mj: int, *, changes: bool
    ) -> int:
        """Add the energy from the last carry to `at`, of an interval [start, to); returns what was added [mJ]."""
        assert self._open is not None
        seconds = (at - self._upto).total_seconds()
        self._upto = at
        if interval is None:
            return 0
        part = 1.0 if at >= to else interval.share((at - start) / (to - start))
        energy_mj = round(interval.energy_mj * part) - done_mj
        shown = interval.before if changes else interval.after
        self._open.add(energy_mj, seconds, shown.reading, integrated=interval.integrated)
        return energy_mj

    def _close(self, out: list[Closed]) -> None:
        """End the open record here and begin its successor; a record of no length lives on, under new labels."""
        assert self._open is not None
        if self._upto <= self._open.start:
            return
        out.append(self._open.closed(self._gpu, self._upto))
        self._open = OpenRecord(self._upto, self._open.owner, self._open.limit_w, gap=self._open.gap)

    def _begin(self, at: datetime, sample: Sample, out: list[Closed]) -> None:
        """End what is open and measure from `at` on."""
        if self._open is not None:
            self._close(out)
        self._open = OpenRecord(at, self._owner, sample.limit_w)
        self._upto = at

    def _begin_gap(self, out: list[Closed]) -> None:
        """End the open record; from here on nobody measures."""
        self._close(out)
        self._open = OpenRecord(self._upto, self._owner, None, gap=True)


def _share(last: Sample, sample: Sample, energy_mj: int, elapsed_s: float) -> Callable[[float], float]:
    """How the energy of an interval grows over its time.

    A record ends shortly before an edge of the counter, if there is one: reckon back from there, since the value at the
    other end is up to 100 ms old. Without an edge power goes straight from one reading to the other.
    """
    if energy_mj > 0 and sample.edge_w is not None:
        rest = sample.edge_w * elapsed_s * 1000 / energy_mj
        return lambda x: max(0.0, 1 - rest * (1 - x))
    if energy_mj > 0 and last.edge_w is not None:
        pace = last.edge_w * elapsed_s * 1000 / energy_mj
        return lambda x: min(1.0, pace * x)
    before_w, after_w = last.reading.power_w, sample.reading.power_w
    mean_w = 0.0 if before_w is None or after_w is None else (before_w + after_w) / 2
    if before_w is None or after_w is None or mean_w <= 0:
        return lambda x: x
    return lambda x: (before_w * x + (after_w - before_w) * x * x / 2) / mean_w
