"""From visits of GPUs to the ledger: one record builder and one outbox a GPU, and the progress of the pods that hold them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from carbonzeus_agent.builder import RecordBuilder
from carbonzeus_agent.clock import Clock
from carbonzeus_agent.driver import Board
from carbonzeus_agent.ledger import Entry, Ledger, LedgerFailed, Resume
from carbonzeus_agent.outbox import Outbox
from carbonzeus_agent.owners import Owners
from carbonzeus_agent.progress import ProgressSeries
from carbonzeus_agent.records import NOBODY, Closed, Owner, Sample, Use
from carbonzeus_agent.scraper import ScrapeFailed, Scraper
from carbonzeus_agent.settings import Settings
from carbonzeus_wire import PodPlan, ProgressSource

log = logging.getLogger(__name__)

BLINKS = 5
"""A hole of so many samples is still a blink."""
SCRAPE_EVERY = 5
"""Progress is looked at once in so many samples, and wherever a record ends; at each sample where a step takes longer."""
FIRST_LOOKS = 5
SHARP_S = 0.005
"""A first look that is less certain than this [s] is taken again, a few times."""
STUCK_S = 10.0
"""A disk that takes longer is a failing one."""
KEPT_S = 60.0
"""How long the progress of a pod that went is kept for its last records."""


@dataclass(frozen=True, slots=True)
class _Track:
    builder: RecordBuilder
    outbox: Outbox


@dataclass(slots=True)
class _Pod:
    """A pod with a plan that says where it counts."""

    pod_ip: str
    source: ProgressSource
    first_gpu: str
    series: ProgressSeries
    scrape: asyncio.Task[None] | None = None
    again: bool = False
    """A record ended while a scrape was under way, which may have read the counter before."""
    failure: str | None = None
    left_s: float | None = None
    """When its plan or itself went, on the boot clock; its last records still find their progress."""


class Meter:
    """The energy meter of a node."""

    def __init__(self, ledger: Ledger, scraper: Scraper, clock: Clock, settings: Settings) -> None:
        self._failure: str | None = "not opened yet"
        self._committing = asyncio.Lock()
        self._since_s: float | None = None
        """When the commit under way began, on the boot clock."""
        self._ledger = ledger
        self._scraper = scraper
        self._clock = clock
        self._settings = settings
        self._tracks: dict[str, _Track] = {}
        self._every: dict[str, timedelta] = {}
        """By UID of pods whose records are wanted shorter."""
        self._pods: dict[str, _Pod] = {}
        self._scrapes: set[asyncio.Task[None]] = set()
        self._entries: list[Entry] = []
        self._resumes: dict[str, Resume] | None = None
        self._ticks = 0
        self.energy_mj: Counter[tuple[str, Use]] = Counter()
        """What the ledger took in since the start, by GPU."""

    @property
    def failure(self) -> str | None:
        """Why the ledger does not take records; None while it does."""
        since_s = self._since_s
        if since_s is not None and self._clock.boot_s() - since_s > STUCK_S:
            return f"a commit has not come back for {self._clock.boot_s() - since_s:.0f} s"
        return self._failure

    async def open(self) -> None:
        """Open the ledger; until that has worked nothing is measured, since nobody knows where the records end."""
        if self._resumes is None:
            try:
                self._resumes = await self._ledger.open()
            except LedgerFailed as error:
                self._failure = str(error)
            else:
                self._failure = None

    def own(self, board: Board, owner: Owner) -> None:
        """From now on `owner` holds the GPU."""
        track = self._track(board, owner)
        if track is not None:
            track.builder.own(self._clock.utc(), owner)

    def take(self, board: Board, sample: Sample) -> None:
        """Take in what a visit read."""
        track = self._track(board, NOBODY)
        if track is not None:
            self._put(track, track.builder.observe(sample))

    def follow(self, plans: Iterable[PodPlan], owners: Owners | None) -> None:
        """Scrape the pods whose plans say where they count, and no others."""
        now_s = self._clock.boot_s()
        plans = tuple(plans)
        usual = timedelta(seconds=self._settings.record_seconds)
        shorter = {plan.pod_uid: timedelta(seconds=plan.record_seconds) for plan in plans if plan.record_seconds}
        self._every = {uid: min(every, usual) for uid, every in shorter.items()}
        wanted: dict[str, _Pod] = {}
        for plan in plans:
            first_gpu = owners.first_gpu(plan.pod) if owners is not None else None
            if plan.progress is None or plan.pod_ip is None or first_gpu is None:
                continue
            pod = self._pods.get(plan.pod_uid)
            if pod is None or (pod.pod_ip, pod.source) != (plan.pod_ip, plan.progress):
                pod = _Pod(plan.pod_ip, plan.progress, first_gpu, ProgressSeries())
            pod.first_gpu, pod.left_s = first_gpu, None
            wanted[plan.pod_uid] = pod
        for uid, pod in self._pods.items():
            if wanted.get(uid) is pod:
                continue
            pod.left_s = now_s if pod.left_s is None else pod.left_s
            if uid not in wanted and now_s - pod.left_s < KEPT_S:
                wanted[uid] = pod
        self._pods = wanted
        for uid, pod in wanted.items():
            if pod.scrape is None:
                self._scrape(uid, pod)

    def tick(self) -> None:
        """Once a sample: look at progress now and then, and call a long silence a Gap."""
        self._ticks += 1
        for uid, pod in self._pods.items():
            if self._ticks % SCRAPE_EVERY == 0 or self._lingers(pod):
                self._scrape(uid, pod)
        usual = timedelta(seconds=self._settings.record_seconds)
        for track in self._tracks.values():
            track.builder.every = self._every.get(track.builder.owner.pod_uid or "", usual)
            self._put(track, track.builder.advance(self._clock.utc(), self._clock.boot_s()))

    async def commit(self, *, final: bool = False) -> None:
        """Write what is closed, and how far the rest has come. What the ledger does not take stays for the next time.

        Who is cancelled while waiting leaves a commit that goes on to its end: else nobody knew whether it was made.
        """
        await asyncio.shield(asyncio.create_task(self._commit(final=final)))

    async def _commit(self, *, final: bool) -> None:
        async with self._committing:
            self._since_s = self._clock.boot_s()
            try:
                await self._write(final=final)
            finally:
                self._since_s = None

    async def _write(self, *, final: bool) -> None:
        if self._resumes is None:
            return
        boot_s = float("inf") if final else self._clock.boot_s()
        unfinished: dict[str, list[Entry]] = {}
        for gpu, track in self._tracks.items():
            if final:
                self._put(track, track.builder.finish())
            self._entries += track.outbox.ready(boot_s)
            unfinished[gpu] = track.outbox.unfinished(track.builder.unfinished())
        entries = self._entries.copy()
        try:
            await self._ledger.commit(entries, unfinished)
        except LedgerFailed as error:
            if self._failure is None:
                log.error("energy records are not written: %s", error)  # noqa: TRY400 - the trace tells nothing more
            self._failure = str(error)
        else:
            del self._entries[: len(entries)]
            self._failure = None
            for closed in (entry.closed for entry in entries):
                self.energy_mj[closed.gpu, Use.of(closed.owner)] += closed.energy_mj

    async def close(self) -> None:
        """Finish all records; nothing is taken in any more."""
        for scrape in self._scrapes:
            scrape.cancel()
        await asyncio.gather(*self._scrapes, return_exceptions=True)
        await self.commit(final=True)
        try:
            await self._ledger.close()
        except LedgerFailed as error:
            log.warning("%s", error)

    def scrape_failures(self) -> dict[str, str]:
        """By pod UID, why progress is not read."""
        return {uid: pod.failure for uid, pod in self._pods.items() if pod.failure is not None and pod.left_s is None}

    def _track(self, board: Board, owner: Owner) -> _Track | None:
        if self._resumes is None:
            return None
        track = self._tracks.get(board.uuid)
        if track is None:
            sample_s = self._settings.sample_seconds
            builder = RecordBuilder(
                board.uuid,
                every=timedelta(seconds=self._settings.record_seconds),
                bridge_s=max(self._settings.record_seconds, 2 * BLINKS * sample_s),
                blink_s=BLINKS * sample_s,
                ceiling_w=2 * (board.maximum_limit_w or 1000.0),
            )
            resume = self._resumes.get(board.uuid)
            if resume is not None and resume.upto < self._clock.utc():
                # The time nobody measured is its last owner's, if the kubelet still names that pod.
                same_pod = resume.owner.pod is not None and resume.owner.pod == owner.pod
                builder.resume(resume.upto, resume.owner if same_pod else NOBODY)
            track = self._tracks[board.uuid] = _Track(builder, Outbox(self._series_of))
        return track

    def _put(self, track: _Track, records: list[Closed]) -> None:
        for closed in records:
            track.outbox.put(closed, self._clock.boot_s())
            pod = self._pods.get(closed.owner.pod_uid or "")
            if pod is not None and pod.first_gpu == closed.gpu:
                self._scrape(closed.owner.pod_uid or "", pod)

    def _series_of(self, closed: Closed) -> ProgressSeries | None:
        pod = self._pods.get(closed.owner.pod_uid or "")
        return pod.series if pod is not None and pod.first_gpu == closed.gpu else None

    def _lingers(self, pod: _Pod) -> bool:
        """Whether only looks at each sample tell when the counter moves; not before it is known that it moves quickly."""
        step_s = pod.series.step_s
        slow = step_s is None or step_s > self._settings.sample_seconds
        idle = pod.scrape is None or pod.scrape.done()
        return pod.series.begun and slow and idle and pod.failure is None

    def _scrape(self, uid: str, pod: _Pod) -> None:
        if pod.left_s is not None:
            return
        if pod.scrape is None or pod.scrape.done():
            pod.scrape = asyncio.create_task(self._look(pod), name=f"scrape-{uid}")
            self._scrapes.add(pod.scrape)
            pod.scrape.add_done_callback(self._scrapes.discard)
        else:
            pod.again = True

    async def _look(self, pod: _Pod) -> None:
        pod.again, tries = True, FIRST_LOOKS
        while pod.again:
            pod.again = False
            try:
                look = await self._scraper.count(pod.pod_ip, pod.source)
            except ScrapeFailed as error:
                if pod.failure is None:
                    log.warning("progress is not read: %s", error)
                pod.failure = str(error)
                return
            pod.failure = None
            tries -= 1
            if not pod.series.begun and look.within_s > SHARP_S and tries > 0:
                pod.again = True  # all is reckoned from the first look, and this one had to connect
            elif pod.series.observe(look.at, look.value, look.within_s) and pod.first_gpu in self._tracks:
                # What came before the first look has no progress: it ends here.
                self._tracks[pod.first_gpu].builder.cut(look.at)
