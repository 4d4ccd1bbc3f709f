"""All agents of the cluster: found by their pods, asked and told side by side, each failing alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import CarbonzeusError
from carbonzeus_operator.fleet.transport import AgentTransport
from carbonzeus_operator.world.objects import Pod
from carbonzeus_wire import EnergyRecord, Fence, NodeState, PlanReply, PlanRequest, PodPlan, RefusalReason

log = logging.getLogger(__name__)

AGENT_SELECTOR = "app.kubernetes.io/name=carbonzeus,app.kubernetes.io/component=agent"


PASSING = {RefusalReason.UNKNOWN_POD, RefusalReason.OWNER_UNKNOWN}
"""Refusals that time may heal: the agent drops such a plan, and is told again in the next round."""


@dataclass(slots=True)
class Agent:
    """One agent and what we last heard of it."""

    node: str
    host: str | None
    """None while it is not running."""
    state: NodeState | None = None
    """As last heard; None until it answered once."""
    heard_at: datetime | None = None
    problem: str | None = None
    """Why it does not answer now."""
    pushed: PlanRequest | None = None
    """What it last accepted."""
    pushed_at: datetime | None = None
    reply: PlanReply | None = None


@dataclass(slots=True)
class Fleet:
    """The agents, by node name."""

    transport: AgentTransport
    memory: timedelta = timedelta(minutes=15)
    """For so long what was last heard of a node stands while no agent runs there: jobs that are on other nodes too go on."""
    agents: dict[str, Agent] = field(default_factory=dict)

    def found(self, pods: Iterable[Pod], now: datetime) -> None:
        """Takes the agents' pods as they are now. An agent that moved to another address is told its plans afresh."""
        seen = {pod.node: pod.ip for pod in pods if pod.running and pod.node and pod.ip}
        for node, agent in list(self.agents.items()):
            host = seen.get(node)
            if host is None and (agent.heard_at is None or now - agent.heard_at > self.memory):
                del self.agents[node]
            elif host != agent.host:
                agent.host, agent.pushed = host, None
                if host is None:
                    agent.problem = "its agent is not running"
                    log.warning("node %s: %s", node, agent.problem)
        for node, host in seen.items():
            if node not in self.agents:
                self.agents[node] = Agent(node=node, host=host)

    async def look(self, now: datetime) -> None:
        """Asks every agent for the state of its node."""

        async def ask(agent: Agent, host: str) -> None:
            agent.state, agent.heard_at = await self.transport.node(host), now

        await self._each(self.agents.values(), ask)

    async def energy(self, after: Mapping[str, int]) -> dict[str, list[EnergyRecord]]:
        """All records after a sequence number, by ledger id. `after` is by node, for the ledger last seen there."""
        found: dict[str, list[EnergyRecord]] = {}

        async def pull(agent: Agent, host: str) -> None:
            if agent.state is None:
                return
            seq, ledger = after[agent.node], agent.state.ledger_id
            while True:
                page = await self.transport.energy(host, after=seq)
                if page.ledger_id != ledger or not page.records:
                    return
                found.setdefault(ledger, []).extend(page.records)
                seq = page.records[-1].seq
                if seq >= page.last_seq:
                    return

        await self._each([agent for node, agent in self.agents.items() if node in after], pull)
        return found

    async def last_before(self, node: str, since: datetime) -> int | None:
        """The sequence number after which a node's ledger has records that end after `since`; None if it does not answer."""
        found: list[int] = []

        async def look(_: Agent, host: str) -> None:
            page = await self.transport.energy(host, after=0, since=since, limit=1)
            found.append(page.records[0].seq - 1 if page.records else page.last_seq)

        await self._each([agent for agent in self.agents.values() if agent.node == node], look)
        return found[0] if found else None

    async def push(
        self, plans: Mapping[str, tuple[PodPlan, ...]], *, fence: Fence, lease_s: float, now: datetime
    ) -> None:
        """Pushes each node's plans where they changed, the lease ran down by a third, or the agent started anew.

        Nodes without an entry get an empty plan: every GPU there is released.
        """

        async def put(agent: Agent, host: str) -> None:
            request = PlanRequest(
                fence=fence, lease_seconds=lease_s, plans=plans.get(agent.node, ()), sent_at=utc_now()
            )
            agent.reply = await self.transport.put_plans(host, request)
            agent.pushed, agent.pushed_at = request, now

        def due(agent: Agent) -> bool:
            wanted = plans.get(agent.node, ())
            if agent.pushed is None or agent.pushed_at is None or agent.reply is None or agent.problem:
                return True
            if any(refusal.reason in PASSING for refusal in agent.reply.refused) or _yields_anew(agent, agent.reply):
                return True
            return agent.pushed.plans != wanted or (now - agent.pushed_at).total_seconds() > lease_s / 3

        await self._each([agent for agent in self.agents.values() if due(agent)], put)

    async def _each(self, agents: Iterable[Agent], call: Callable[[Agent, str], Awaitable[None]]) -> None:
        async def one(agent: Agent, host: str) -> None:
            boot = agent.state.boot_id if agent.state else None
            try:
                await call(agent, host)
            except CarbonzeusError as error:
                if agent.problem is None:
                    log.warning("node %s: %s", agent.node, error)
                agent.problem = str(error)
                return
            if agent.problem is not None:
                log.info("node %s: its agent answers again", agent.node)
            agent.problem = None
            if boot is not None and agent.state is not None and agent.state.boot_id != boot:
                agent.pushed = None

        await asyncio.gather(*(one(agent, agent.host) for agent in agents if agent.host is not None))


def _yields_anew(agent: Agent, reply: PlanReply) -> bool:
    """Whether the agent has left a GPU to somebody else, or taken one back, since it replied: it is asked what stands now."""
    told = {refusal.gpu_uuid for refusal in reply.refused if refusal.reason is RefusalReason.LIMIT_OVERRIDDEN}
    gpus = agent.state.gpus if agent.state is not None else ()
    return told != {gpu.uuid for gpu in gpus if gpu.override is not None and gpu.override.yielded}
