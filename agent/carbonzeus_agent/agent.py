"""The agent of one node: who holds the GPUs, which plans stand, and the loops that keep limits and records up to date."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Iterable
from functools import partial

from carbonzeus_agent.clock import Clock
from carbonzeus_agent.journal import Journal, JournalFailed
from carbonzeus_agent.ledger import Ledger
from carbonzeus_agent.meter import Meter
from carbonzeus_agent.nvml import Board, Driver, DriverError
from carbonzeus_agent.owners import Owners
from carbonzeus_agent.plans import Aim, Standing, accept, assign, is_older
from carbonzeus_agent.pod_resources import PodResources, Unanswered
from carbonzeus_agent.post import Fault, Post, Visit
from carbonzeus_agent.records import NOBODY, Owner, Sample
from carbonzeus_agent.reply import reply_for
from carbonzeus_agent.scraper import Scraper
from carbonzeus_agent.settings import Settings
from carbonzeus_agent.tally import Tally
from carbonzeus_agent.worker import Worker
from carbonzeus_wire import Fence, GpuState, NodeState, PlanReply, PlanRequest

log = logging.getLogger(__name__)

REPLY_WITHIN_S = 2.0
"""How long a request waits for GPUs that do not answer."""
DISCOVER_EVERY_S = 30.0
GIVE_BACK_WITHIN_S = 10.0
"""How long the end waits for GPUs to be given back; shorter than a pod's termination grace period."""
LONGEST_TIMER_S = 3600.0
LAST_LOOK_S = 0.25
"""What the last reading of each GPU may take: its records end at an edge of the counter."""


class StaleFence(Exception):
    """A newer leader, or a newer push of the same one, was here already."""

    def __init__(self, standing: Fence) -> None:
        super().__init__(f"an older fence than the standing {standing.term}.{standing.revision}")
        self.standing = standing


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
        self._driver = driver
        self._clock = clock
        self._journal = journal
        self._pod_resources = pod_resources
        self._owners: Owners | None = None
        self._unanswered: str | None = "not asked yet"
        self._answered_s = clock.boot_s()
        self._discovery: Worker[tuple[list[Board], list[str]]] = Worker("discovery", self._list_boards, clock)
        self._discovered_s: float | None = None
        self._nvml_failure: str | None = "not asked yet"
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
        deadline_s = self._clock.boot_s() + GIVE_BACK_WITHIN_S
        await self._settle(self.posts.values(), sharp=True)
        while self._journal.gpus() and self._clock.boot_s() < deadline_s:
            left = [post for gpu, post in self.posts.items() if gpu in self._journal.gpus()]
            if not left:
                break
            await asyncio.gather(self._settle(left), asyncio.sleep(0.2))
        await asyncio.sleep(LAST_LOOK_S)
        left_behind = self._journal.gpus()
        if left_behind:
            log.error("not given back, the next start tries again: %s", ", ".join(left_behind))
        for post in self.posts.values():
            post.stop()
        self._discovery.stop()
        await self.meter.close()
        self._journal.close()
        return not left_behind

    # --- plans --------------------------------------------------------------------------------------------------------

    async def put_plans(self, request: PlanRequest) -> PlanReply:
        """Make these the plans of this node, and say what came of each. Raises `StaleFence`."""
        async with self._planning:
            if is_older(request.fence, self.standing.fence):
                raise StaleFence(self.standing.fence)
            with contextlib.suppress(JournalFailed):  # shows in readiness, and as a refusal wherever it matters
                await asyncio.to_thread(self._journal.raise_fence, request.fence)
            await self._refresh_owners()
            standing = accept(request, self._clock.boot_s(), self._owners, self._boards())
            before = self.standing.followed
            self.standing = standing
            self._follow()
            touched = [post for gpu, post in self.posts.items() if gpu in standing.followed or gpu in before]
            silent = await self._settle(touched)
            return reply_for(standing, self.posts, silent)

    def _follow(self) -> None:
        """The standing or the owners changed: tell everyone."""
        self._arm()
        self._tell_owners()
        self.meter.follow(self.standing.plans.values(), self._owners)

    def _arm(self) -> None:
        """Wake up for the next step of any plan, and for the end of the lease."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        standing = self.standing
        delays_s: list[float] = []
        if standing.leased(self._clock.boot_s()):
            delays_s.append(standing.lease_end_s - self._clock.boot_s())
        now = self._clock.utc()
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
        return self.standing.aim(gpu, self._clock.utc(), self._clock.boot_s())

    async def _settle(self, posts: Iterable[Post], *, sharp: bool = False) -> set[str]:
        """Visit these GPUs and wait for them, but not for ever; returns those that did not answer."""
        visits = {post.request(sharp=sharp): post.uuid for post in posts}
        if not visits:
            return set()
        _, pending = await asyncio.wait(visits, timeout=REPLY_WITHIN_S)
        return {visits[visit] for visit in pending}

    def _visited(self, post: Post, visit: Visit) -> None:
        if visit.settled is not None and visit.settled.written_at is not None:
            self.tally.wrote(post.uuid, visit, self.standing.followed.get(post.uuid))
        if visit.settled is not None and visit.settled.overridden:
            self.tally.overrides.labels(gpu=post.uuid).inc()

    def _sampled(self, post: Post, sample: Sample) -> None:
        self.meter.take(post.board, sample)

    # --- questions ----------------------------------------------------------------------------------------------------

    def node_state(self) -> NodeState:
        """The GPUs of this node as last seen."""
        return NodeState(
            node=self.settings.node_name,
            boot_id=self.boot_id,
            ledger_id=self.ledger.id,
            clock=self._clock.utc(),
            last_seq=self.ledger.last_seq,
            gpus=tuple(self._gpu_state(post) for _, post in sorted(self.posts.items())),
        )

    def _gpu_state(self, post: Post) -> GpuState:
        return GpuState(
            uuid=post.uuid,
            product=post.board.product,
            default_limit_watts=post.board.default_limit_w,
            minimum_limit_watts=post.board.minimum_limit_w,
            maximum_limit_watts=post.board.maximum_limit_w,
            limit_watts=post.limit_w,
            reference_limit_watts=post.reference_w,
            pods=self._owners.pods_of(post.uuid) if self._owners is not None else (),
            faults=tuple(str(fault) for fault in post.faults(self.settings.nvml_seconds)),
        )

    def troubles(self) -> list[Fault]:
        """Why this agent cannot read or cannot enforce; empty when it is ready."""
        troubles: list[Fault] = []
        if self._nvml_failure is not None:
            troubles.append(Fault("NvmlUnavailable", self._nvml_failure))
        if self._unanswered is not None:
            troubles.append(Fault("KubeletSilent", self._unanswered))
        if self._journal.failure is not None:
            troubles.append(Fault("JournalFailed", self._journal.failure))
        if self.meter.failure is not None:
            troubles.append(Fault("LedgerFailed", self.meter.failure))
        for post in self.posts.values():
            faults = post.faults(self.settings.nvml_seconds)
            troubles += [Fault(it.reason, f"GPU {post.uuid}: {it.message}") for it in faults if it.disables]
        return troubles

    def lease_left_s(self) -> float:
        return max(0.0, self.standing.lease_end_s - self._clock.boot_s())

    def silent_s(self) -> float:
        """For how long the loops have not come round [s]."""
        return self._clock.boot_s() - self._beat_s

    # --- owners and boards --------------------------------------------------------------------------------------------

    async def _refresh_owners(self) -> None:
        async with self._watching:
            try:
                owners: Owners | None = await self._pod_resources.owners()
            except Unanswered as error:
                if self._unanswered is None:
                    log.warning("who holds the GPUs is not known: %s", error)
                self._unanswered = str(error)
                if self._clock.boot_s() - self._answered_s <= self.settings.owner_grace_seconds:
                    return
                owners = None
            else:
                self._unanswered = None
                self._answered_s = self._clock.boot_s()
            if owners == self._owners:
                return
            before = self._owners or Owners()
            self._owners = owners
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
        pod = self._owners.sole_owner(gpu) if self._owners is not None else None
        if pod is None:
            return NOBODY
        plan = self.standing.plans.get(pod)
        return Owner(pod, plan.pod_uid if plan is not None else None)

    def _boards(self) -> dict[str, Board]:
        return {gpu: post.board for gpu, post in self.posts.items()}

    def _list_boards(self, answer: Callable[[tuple[list[Board], list[str]]], None]) -> None:
        """In the discovery thread: the boards, and what is wrong with those that do not say what they are."""
        boards: list[Board] = []
        problems: list[str] = []
        for gpu in self._driver.uuids():
            try:
                boards.append(self._driver.board(gpu))
            except DriverError as error:
                problems.append(str(error))
        answer((boards, problems))

    async def _discover(self) -> None:
        """Look for GPUs that came, or came back; those that went are noticed by their own visits."""
        hung_s = self._discovery.busy_s
        if hung_s:
            self._nvml_failure = f"listing the GPUs has not come back for {hung_s:.0f} s"
            return
        search = self._discovery.request()
        done, _ = await asyncio.wait([search], timeout=self.settings.nvml_seconds)
        if not done:
            return
        boards: list[Board] = []
        try:
            boards, problems = search.result()
        except DriverError as error:
            problems = [str(error)]
        else:
            self._discovered_s = self._clock.boot_s()
        failure = "; ".join(problems) or None
        if failure is not None and failure != self._nvml_failure:
            log.warning("not all GPUs can be listed: %s", failure)
        self._nvml_failure = failure
        for board in boards:
            known = self.posts.get(board.uuid)
            if known is not None:
                known.board = board
                continue
            gpu = board.uuid
            log.info("GPU %s: %s", gpu, board.product)
            self.posts[gpu] = Post(
                board, self._driver, self._journal, self._clock, partial(self._aim, gpu), self._visited, self._sampled
            )
        self._tell_owners()

    # --- loops --------------------------------------------------------------------------------------------------------

    async def _sample(self) -> None:
        """Visit every GPU at the UTC multiples of the sample length, so that all GPUs share one wake-up."""
        every_s = self.settings.sample_seconds
        stretch = 0.0
        while True:
            now_s = self._clock.utc().timestamp()
            await asyncio.sleep((now_s / every_s + 0.1) // 1 * every_s + every_s - now_s)
            self._beat_s = self._clock.boot_s()
            before, stretch = stretch, self._clock.utc().timestamp() // self.settings.record_seconds
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
            if self._discovered_s is None or self._clock.boot_s() - self._discovered_s >= DISCOVER_EVERY_S:
                await self._discover()
            await self._refresh_owners()
            self._tell_owners()
            self._arm()
