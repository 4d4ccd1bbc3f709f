"""The agent of one node: who holds the GPUs, which plans stand, and the loops that keep limits and records up to date."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Iterable
from functools import partial

from carbonzeus_agent.clock import Clock
from carbonzeus_agent.discovery import Discovery
from carbonzeus_agent.driver import Board, Driver, by_minor
from carbonzeus_agent.journal import Journal, JournalFailed
from carbonzeus_agent.ledger import Ledger
from carbonzeus_agent.meter import Meter
from carbonzeus_agent.owners import Owners
from carbonzeus_agent.plans import Aim, Standing, accept, assign, check
from carbonzeus_agent.pod_resources import PodResources, Unanswered
from carbonzeus_agent.post import Post, Visit
from carbonzeus_agent.records import NOBODY, Owner, Sample
from carbonzeus_agent.reply import reply_for
from carbonzeus_agent.scraper import Scraper
from carbonzeus_agent.settings import Settings
from carbonzeus_agent.tally import Tally
from carbonzeus_wire import PlanReply, PlanRequest

log = logging.getLogger(__name__)

REPLY_WITHIN_S = 2.0
"""How long a request waits for GPUs that do not answer."""
GIVE_BACK_WITHIN_S = 10.0
"""How long the end waits for GPUs to be given back; shorter than a pod's termination grace period."""
LONGEST_TIMER_S = 3600.0
LAST_LOOK_S = 0.25
"""What the last reading of each GPU may take: its records end at an edge of the counter."""


class Agent:
    """`start`, then `put_plans` and the questions below, then `stop`, which gives every GPU back."""

    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        clock: Clock,
        *,
        journal: Journal,
        ledger: Ledger,
        pod_resources: PodResources,
        scraper: Scraper,
    ) -> None:
        self.settings = settings
        self.boot_id = str(uuid.uuid4())
        self.posts: dict[str, Post] = {}
        self.standing = Standing(fence=journal.fence)
        self.tally = Tally()
        self.ledger = ledger
        self.meter = Meter(ledger, scraper, clock, settings)
        self.journal = journal
        self.discovery = Discovery(driver, clock, settings.nvml_seconds, persistence=settings.persistence == "Enable")
        self.clock = clock
        self._driver = driver
        self._pod_resources = pod_resources
        self.owners: Owners | None = None
        """None: the kubelet has not said for too long who holds the GPUs."""
        self.unanswered: str | None = "not asked yet"
        """Why the kubelet does not answer; None while it does."""
        self._answered_s = clock.boot_s()
        self._planning = asyncio.Lock()
        self._watching = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._beat_s = clock.boot_s()

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Find the GPUs and give back what a killed agent left behind; then keep going in the background."""
        await self.meter.open()
        await self._refresh_owners()
        await self._discover()
        await self._settle(self.posts.values())
        self._loops = [
            asyncio.create_task(self._sample(), name="sample"),
            asyncio.create_task(self._watch(), name="watch"),
            asyncio.create_task(self._record(), name="record"),
        ]
        for loop in self._loops:
            loop.add_done_callback(self._ended)

    async def failed(self) -> None:
        """Raises what ended one of the loops; until then it waits."""
        await asyncio.shield(self._failure)

    def _ended(self, loop: asyncio.Task[None]) -> None:
        error = None if loop.cancelled() else loop.exception()
        if error is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def stop(self) -> bool:
        """Give every GPU back, finish the records; returns whether every GPU is at its prior limit."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self.standing = Standing(fence=self.standing.fence)
        self._arm()
        deadline_s = self.clock.boot_s() + GIVE_BACK_WITHIN_S
        await self._settle(self.posts.values(), sharp=True)
        while self.journal.gpus() and self.clock.boot_s() < deadline_s:
            left = [post for gpu, post in self.posts.items() if gpu in self.journal.gpus()]
            if not left:
                break
            await asyncio.gather(self._settle(left), asyncio.sleep(0.2))
        await asyncio.sleep(LAST_LOOK_S)
        left_behind = self.journal.gpus()
        if left_behind:
            log.error("not given back, the next start tries again: %s", ", ".join(left_behind))
        for post in self.posts.values():
            post.stop()
        self.discovery.stop()
        await self.meter.close()
        self.journal.close()
        return not left_behind

    # --- plans --------------------------------------------------------------------------------------------------------

    async def put_plans(self, request: PlanRequest) -> PlanReply:
        """Make these the plans of this node, and say what came of each. Raises `StaleFence`."""
        async with self._planning:
            check(request.fence, self.standing.fence)
            with contextlib.suppress(JournalFailed):  # shows in readiness, and as a refusal wherever it matters
                await asyncio.to_thread(self.journal.raise_fence, request.fence)
            await self._refresh_owners()
            standing = accept(request, self.clock.utc(), self.clock.boot_s(), self.owners, self._boards())
            before = self.standing.followed
            self.standing = standing
            self._follow()
            touched = [post for gpu, post in self.posts.items() if gpu in standing.followed or gpu in before]
            silent = await self._settle(touched)
            return reply_for(standing, self.posts, silent, self.clock_offset_s())

    def _follow(self) -> None:
        """The standing or the owners changed: tell everyone."""
        self._arm()
        self._tell_owners()
        self.meter.follow(self.standing.plans.values(), self.owners)

    def _arm(self) -> None:
        """Wake up for the next step of any plan, and for the end of the lease."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        standing = self.standing
        delays_s: list[float] = []
        if standing.leased(self.clock.boot_s()):
            delays_s.append(standing.lease_end_s - self.clock.boot_s())
        now = standing.time(self.clock.utc(), self.clock.boot_s())
        switch = standing.next_switch(now)
        if switch is not None:
            delays_s.append((switch - now).total_seconds())
        if delays_s:
            self._timer = asyncio.get_running_loop().call_later(min(*delays_s, LONGEST_TIMER_S), self._switch)

    def _switch(self) -> None:
        for gpu in self.standing.followed:
            self.posts[gpu].request()
        self._arm()

    def _aim(self, gpu: str) -> Aim:
        """Asked in the worker thread of the GPU; what it reads is never changed, only replaced."""
        return self.standing.aim(gpu, self.clock.utc(), self.clock.boot_s())

    async def _settle(self, posts: Iterable[Post], *, sharp: bool = False) -> set[str]:
        """Visit these GPUs and wait for them, but not for ever; returns those that did not answer."""
        visits = {post.request(sharp=sharp): post.uuid for post in posts}
        if not visits:
            return set()
        _, pending = await asyncio.wait(visits, timeout=REPLY_WITHIN_S)
        return {visits[visit] for visit in pending}

    def _visited(self, post: Post, visit: Visit) -> None:
        self.tally.visited(post.uuid, visit, self.standing.followed.get(post.uuid))

    def _sampled(self, post: Post, sample: Sample) -> None:
        self.meter.take(post.board, sample)

    # --- questions ----------------------------------------------------------------------------------------------------

    def lease_left_s(self) -> float:
        return max(0.0, self.standing.lease_end_s - self.clock.boot_s())

    def clock_offset_s(self) -> float | None:
        """By how much the node's clock is ahead of the operator's, less the time that its push was under way [s]; None untold."""
        return self.standing.offset_s(self.clock.utc(), self.clock.boot_s())

    def silent_s(self) -> float:
        """For how long the loops have not come round [s]."""
        return self.clock.boot_s() - self._beat_s

    # --- owners and boards --------------------------------------------------------------------------------------------

    async def _refresh_owners(self) -> None:
        async with self._watching:
            try:
                claims = await self._pod_resources.owners()
            except Unanswered as error:
                if self.unanswered is None:
                    log.warning("who holds the GPUs is not known: %s", error)
                self.unanswered = str(error)
                if self.clock.boot_s() - self._answered_s <= self.settings.owner_grace_seconds:
                    return
                owners: Owners | None = None
            else:
                owners = claims.located(by_minor(self._boards().values()))
                self.unanswered = None
                self._answered_s = self.clock.boot_s()
            if owners == self.owners:
                return
            before = self.owners or Owners()
            self.owners = owners
            if owners is None:
                self.standing = Standing(fence=self.standing.fence)
            else:
                self.standing = assign(self.standing, owners, self._boards())
            self._follow()
            for gpu, post in self.posts.items():
                if before.pods_of(gpu) != (owners or Owners()).pods_of(gpu):
                    post.request(sharp=True)

    def _tell_owners(self) -> None:
        for gpu, post in self.posts.items():
            self.meter.own(post.board, self._owner_of(gpu))

    def _owner_of(self, gpu: str) -> Owner:
        pod = self.owners.sole_owner(gpu) if self.owners is not None else None
        if pod is None:
            return NOBODY
        plan = self.standing.plans.get(pod)
        return Owner(pod, plan.pod_uid if plan is not None else None)

    def _boards(self) -> dict[str, Board]:
        return {gpu: post.board for gpu, post in self.posts.items()}

    async def _discover(self) -> None:
        for board in await self.discovery.look():
            known = self.posts.get(board.uuid)
            if known is not None:
                known.board = board
                continue
            gpu = board.uuid
            log.info("GPU %s: %s", gpu, board.product)
            self.posts[gpu] = Post(
                board,
                self._driver,
                self.journal,
                self.clock,
                partial(self._aim, gpu),
                self._visited,
                self._sampled,
                yields=self.settings.foreign_writes == "Yield",
            )
        self._tell_owners()

    # --- loops --------------------------------------------------------------------------------------------------------

    async def _sample(self) -> None:
        """Visit every GPU at the UTC multiples of the sample length, so that all GPUs share one wake-up."""
        every_s = self.settings.sample_seconds
        stretch = 0.0
        while True:
            now_s = self.clock.utc().timestamp()
            await asyncio.sleep((now_s / every_s + 0.1) // 1 * every_s + every_s - now_s)
            self._beat_s = self.clock.boot_s()
            before, stretch = stretch, self.clock.utc().timestamp() // self.settings.record_seconds
            for post in self.posts.values():
                post.tick(sharp=stretch != before)  # there a record ends
            self.meter.tick()

    async def _record(self) -> None:
        """Write down what was measured: apart from the sampling, because a disk may hang too."""
        while True:
            await asyncio.sleep(self.settings.sample_seconds)
            await self.meter.commit()

    async def _watch(self) -> None:
        """Ask the kubelet who holds the GPUs, look for GPUs, and keep the timer right when the clock is set."""
        while True:
            await asyncio.sleep(self.settings.enforce_seconds)
            await self.meter.open()
            if self.discovery.due:
                await self._discover()
            await self._refresh_owners()
            self._tell_owners()
            self._arm()
