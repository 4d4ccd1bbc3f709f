"""The loop: look, pull energy, settle, decide, push, write. All I/O of one round, in the order of the data.

Every part that fails (an agent, a provider, a report) fails alone: it is said where it belongs, and the round goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from carbonzeus_operator import account as accounts
from carbonzeus_operator import kube, reports
from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.decide import Decisions, JobDecision, reconcile, wanted_grid
from carbonzeus_operator.errors import CarbonzeusError
from carbonzeus_operator.fleet.fleet import AGENT_SELECTOR, Fleet
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.metrics import Metrics
from carbonzeus_operator.pod_zones import pod_zones
from carbonzeus_operator.profile_writer import ProfileWriter
from carbonzeus_operator.report_writer import ReportWriter
from carbonzeus_operator.resources.policy import Mode
from carbonzeus_operator.revisions import revised, wanted_past
from carbonzeus_operator.run import Run, begin_what_if, with_cursor
from carbonzeus_operator.runs import Runs
from carbonzeus_operator.settings import Settings
from carbonzeus_operator.studying import study
from carbonzeus_operator.upkeep import Upkeep
from carbonzeus_operator.waiting import watched
from carbonzeus_operator.world.objects import Key, Pod, pod_from_raw
from carbonzeus_operator.world.picture import Picture
from carbonzeus_operator.world.snapshot import NodeView, Rules, Snapshot
from carbonzeus_wire import Fence

log = logging.getLogger(__name__)

COALESCE_S = 0.2
"""After the first news the round waits this long for more of it."""
HEARD_S = 2.0
"""So long after a window's end its records can be had: an agent lets them wait for the progress that belongs to them."""


def rules_of(settings: Settings) -> Rules:
    """The settings that decisions depend on."""
    return Rules(
        replan=timedelta(seconds=settings.replan_seconds),
        lease=timedelta(seconds=settings.lease_seconds),
        switch_lead=timedelta(seconds=settings.switch_lead_seconds),
        round=timedelta(seconds=settings.cycle_seconds),
        grace_s=settings.grace_seconds,
        survival_s=settings.survival_seconds,
        minimum_dwell=timedelta(seconds=settings.minimum_dwell_seconds),
        horizon=timedelta(seconds=settings.horizon_seconds),
        zones=settings.zones,
        timelapse=settings.learning_timelapse,
    )


@dataclass(slots=True)
class Cycle:
    """The leader's loop."""

    settings: Settings
    connection: kube.Kube
    picture: Picture
    fleet: Fleet
    grid: GridCache
    metrics: Metrics
    term: int
    clock: Callable[[], datetime] = utc_now
    runs: Runs = field(default_factory=Runs)
    completed_at: datetime | None = None
    """When the last round ended; None before the first."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _revision: int = 0
    _relisted_at: datetime | None = None

    def wake(self) -> None:
        """There is news: do not wait for the next round."""
        self._news.set()

    async def run(self) -> None:
        """Rounds until cancelled."""
        while True:
            self._news.clear()
            began = self.clock()
            try:
                await self.round()
            except CarbonzeusError as error:
                self.metrics.failed_rounds.inc()
                log.warning("this round was cut short: %s", error)
            self.metrics.round_seconds.observe((self.clock() - began).total_seconds())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._news.wait()
                await asyncio.sleep(COALESCE_S)

    def _pause_s(self) -> float:
        """Until the next round, if nothing happens before: a window that is over is not to be waited for."""
        now = self.clock()
        due = [end for run in self.runs.by_key.values() if (end := run.window_end()) is not None]
        over = [max((end - now).total_seconds(), 0.0) + HEARD_S for end in due]
        return min([self.settings.cycle_seconds, *over])

    async def round(self) -> None:
        """One round."""
        rules = rules_of(self.settings)
        await self._see_cluster()
        pods = self.runs.pods(self.picture)
        nodes = self._nodes()
        snapshot = self._snapshot(pods, nodes)
        zones = wanted_grid(snapshot, rules)
        past = wanted_past(self.runs.by_key.values(), snapshot.now)
        await self.grid.refresh(self._wanted(set(zones.values())), past)
        snapshot = self._snapshot(pods, nodes)
        for key, run in self.runs.by_key.items():
            # Known before the first record is folded: time is cut where the intensity of this zone changes.
            run.grid_key = zones.get(run.job.uid, run.grid_key)
            zoned = pod_zones(run.view(pods[key]), snapshot, rules) if pods[key] else {}
            run.observe(pods[key], nodes, snapshot.now, zoned)
            if not run.closed:
                study(run, pods[key], snapshot, rules)
            run.agree(pods[key], snapshot)
            run.watch = watched(run.watch, run.view(pods[key]), snapshot, rules)
        await self._pull(pods)
        self._settle(snapshot)
        snapshot = self._snapshot(pods, nodes)
        decisions = reconcile(snapshot, rules)
        for run, decision in self._paired(decisions):
            run.decided(decision.active)
            run.grid_key = decision.grid_key or run.grid_key
            if decision.terms is not None and decision.terms.policy.mode is Mode.RECOMMEND and decision.active:
                begin_what_if(run)
        self._revision += 1
        await self.fleet.push(
            decisions.plans_by_node,
            fence=Fence(term=self.term, revision=self._revision),
            lease_s=self.settings.lease_seconds,
            now=self.clock(),
        )
        await self._write(decisions, self._snapshot(pods, self._nodes()), rules)
        retention = timedelta(seconds=self.settings.profile_retention_seconds)
        await ProfileWriter(self.connection, self.picture).write(self.runs.by_key.values(), self.clock(), retention)
        await Upkeep(self.connection, self.picture).write(decisions)
        self.completed_at = self.clock()
        self.metrics.show(self.runs, decisions, self.fleet, self.grid, self.completed_at)

    async def _see_cluster(self) -> None:
        now = self.clock()
        old = self._relisted_at is None or (now - self._relisted_at).total_seconds() > self.settings.relist_seconds
        if old or not self.picture.synced:
            if await self.picture.relist(self.connection) and self._relisted_at is not None:
                self.metrics.corrections.inc()
                log.info("a full list set the picture of the cluster right")
            self._relisted_at = now
        elif self.picture.unwatched:
            await self.picture.relist(self.connection, self.picture.unwatched)
        agents = await self.connection.list(kube.POD, namespace=self.settings.namespace, selector=AGENT_SELECTOR)
        self.fleet.found([pod_from_raw(raw) for raw in agents.items] if agents is not None else [], now)
        await self.fleet.look(now)
        self.runs.refresh(self.picture, now)

    def _wanted(self, zones: set[tuple[str, Signal]]) -> dict[tuple[str, Signal], datetime | None]:
        """The zones that plans and open accounts need, and from when on their actuals."""
        wanted: dict[tuple[str, Signal], datetime | None] = dict.fromkeys(zones)
        for run in self.runs.by_key.values():
            if run.closed:
                continue
            spans = accounts.wanted(run.account)
            for zone, key in run.grid_keys().items():
                since = spans[zone][0] if zone in spans else None
                earlier = wanted.get(key)
                if since is not None:
                    wanted[key] = min(since, earlier) if earlier is not None else since
                elif zone:
                    wanted.setdefault(key, None)
        return wanted

    def _nodes(self) -> dict[str, NodeView]:
        found = {key.name: NodeView(node.name, region=node.region) for key, node in self.picture.nodes.objects.items()}
        for name, agent in self.fleet.agents.items():
            region = found[name].region if name in found else None
            gpus = agent.state.gpus if agent.state is not None else ()
            found[name] = NodeView(name, region, gpus, agent.problem, agent.reply)
        return found

    def _snapshot(self, pods: dict[Key, list[Pod]], nodes: dict[str, NodeView]) -> Snapshot:
        return Snapshot(
            now=self.clock(),
            jobs=self.runs.views(pods),
            namespaces={key.name: one.annotations for key, one in self.picture.namespaces.objects.items()},
            policies={key.name: one.spec for key, one in self.picture.policies.objects.items()},
            profiles={key: one.spec for key, one in self.picture.profiles.objects.items()},
            learned={key: one.status for key, one in self.picture.profiles.objects.items()},
            nodes=nodes,
            grid=self.grid.views(),
        )

    async def _pull(self, pods: dict[Key, list[Pod]]) -> None:
        """Pulls each ledger once, from where the run that is least far along needs it, and folds it into all of them."""
        ledger_of = {node: agent.state.ledger_id for node, agent in self.fleet.agents.items() if agent.state}
        node_of = {ledger: node for node, ledger in ledger_of.items()}
        wanting: dict[str, list[Run]] = {}
        for key, run in self.runs.by_key.items():
            if run.closed or run.problem is not None:
                continue
            known = {pod.uid for pod in run.account.pods}
            here = [pod for pod in pods[key] if pod.node in ledger_of and pod.started_at is not None and pod.gpus]
            waiting = {ledger_of[pod.node or ""] for pod in here if pod.uid not in known}
            for pod in here:
                ledger = ledger_of[pod.node or ""]
                if ledger not in run.account.cursors and ledger not in waiting and pod.started_at is not None:
                    await self._begin(run, ledger, pod.node or "", pod.started_at)
            for ledger in set(run.account.cursors) - waiting:
                if ledger in node_of:
                    wanting.setdefault(ledger, []).append(run)
        after = {
            node_of[ledger]: min(run.account.cursors[ledger].seq for run in runs) for ledger, runs in wanting.items()
        }
        grid = self.grid.views()
        for ledger, records in (await self.fleet.energy(after)).items():
            for run in wanting.get(ledger, ()):
                views = run.grid_of(grid).values()
                run.fold(ledger, records, series=tuple(one for view in views for one in (view.forecast, view.actual)))

    async def _begin(self, run: Run, ledger: str, node: str, since: datetime) -> None:
        """Finds the first record of a ledger that may be the run's."""
        seq = await self.fleet.last_before(node, since)
        if seq is not None:
            with_cursor(run, ledger, seq)

    def _settle(self, snapshot: Snapshot) -> None:
        for run in self.runs.by_key.values():
            if not run.closed:
                run.settle(snapshot.grid, snapshot.now)
                run.account, run.what_if = revised(run, snapshot.grid, snapshot.now)

    def _paired(self, decisions: Decisions) -> list[tuple[Run, JobDecision]]:
        by_uid = {run.job.uid: run for run in self.runs.by_key.values()}
        return [(by_uid[decision.view.job.uid], decision) for decision in decisions.jobs]

    async def _write(self, decisions: Decisions, snapshot: Snapshot, rules: Rules) -> None:
        pairs = self._paired(decisions)
        writer = ReportWriter(self.connection, self.metrics)
        await asyncio.gather(*(writer.write(run, decision, snapshot, rules) for run, decision in pairs))
        await writer.write_revised(tuple(self.runs.by_key.values()), snapshot)
        retention = timedelta(seconds=self.settings.retention_seconds)
        for run in list(self.runs.by_key.values()):
            if reports.is_expired(run, retention, snapshot.now):
                await self.connection.delete(kube.CARBONREPORT, run.key.name, run.key.namespace)
                del self.runs.by_key[run.key]
