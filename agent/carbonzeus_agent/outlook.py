"""What an agent tells of itself: the state of its node, why it is not ready, and what else is wrong. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carbonzeus_agent.plans import CLOCK_TOLERANCE_S
from carbonzeus_agent.post import Fault, Post
from carbonzeus_wire import GpuState, NodeState

if TYPE_CHECKING:
    from carbonzeus_agent.agent import Agent


def node_state(agent: Agent) -> NodeState:
    """The GPUs of the node as last seen."""
    return NodeState(
        node=agent.settings.node_name,
        boot_id=agent.boot_id,
        ledger_id=agent.ledger.id,
        clock=agent.clock.utc(),
        last_seq=agent.ledger.last_seq,
        gpus=tuple(_gpu_state(agent, post) for _, post in sorted(agent.posts.items())),
        faults=tuple(str(fault) for fault in warnings(agent)),
    )


def _gpu_state(agent: Agent, post: Post) -> GpuState:
    return GpuState(
        uuid=post.uuid,
        product=post.board.product,
        default_limit_watts=post.board.default_limit_w,
        minimum_limit_watts=post.board.minimum_limit_w,
        maximum_limit_watts=post.board.maximum_limit_w,
        counter_scope=post.board.counter_scope,
        limit_watts=post.limit_w,
        reference_limit_watts=post.reference_w,
        pods=agent.owners.pods_of(post.uuid) if agent.owners is not None else (),
        override=post.override,
        faults=tuple(str(fault) for fault in post.faults(agent.settings.nvml_seconds)),
    )


def troubles(agent: Agent) -> list[Fault]:
    """Why this agent cannot read or cannot enforce; empty when it is ready."""
    found: list[Fault] = []
    if agent.discovery.failure is not None:
        found.append(Fault("NvmlUnavailable", agent.discovery.failure))
    if agent.unanswered is not None:
        found.append(Fault("KubeletSilent", agent.unanswered))
    if agent.journal.failure is not None:
        found.append(Fault("JournalFailed", agent.journal.failure))
    if agent.meter.failure is not None:
        found.append(Fault("LedgerFailed", agent.meter.failure))
    for post in agent.posts.values():
        faults = post.faults(agent.settings.nvml_seconds)
        found += [Fault(it.reason, f"GPU {post.uuid}: {it.message}") for it in faults if it.disables]
    return found


def warnings(agent: Agent) -> list[Fault]:
    """What is wrong with the node as a whole, though it can read and enforce all the same."""
    offset_s = agent.clock_offset_s()
    if offset_s is None or abs(offset_s) <= CLOCK_TOLERANCE_S:
        return []
    where = "ahead of" if offset_s > 0 else "behind"
    message = (
        f"the node's clock is {abs(offset_s):.1f} s {where} the operator's: steps are taken at the operator's time, "
        "and energy is booked at the node's"
    )
    return [Fault("ClockOffset", message, disables=False)]
