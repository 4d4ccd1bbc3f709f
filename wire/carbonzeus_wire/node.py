"""`GET /v1/node`: the GPUs of one node."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from carbonzeus_wire.base import Instant, Message


class PowerScope(StrEnum):
    """What a figure of power or energy is of, where a GPU shares a module with a CPU."""

    GPU = "GPU"
    MODULE = "Module"
    """The GPU, the CPU beside it, and their memory."""


class Override(Message):
    """Somebody else set the limit of a GPU under a plan."""

    limit_watts: float
    """What they set."""
    yielded: bool
    """It is left so until the pod ends or its lease does; else it was found within the last minute, and plans are followed on."""
    message: str
    """What was found, what became of it, and what to do."""


class GpuState(Message):
    """One GPU. Limits in watts; None where the board does not tell."""

    uuid: str
    product: str
    default_limit_watts: float | None = None
    minimum_limit_watts: float | None = None
    maximum_limit_watts: float | None = None
    power_scope: PowerScope = PowerScope.GPU
    """What the limits, the power and the energy are of that are told of this GPU."""
    counter_scope: PowerScope | None = None
    """What the board's own energy counter counts: where it is the module, energy is integrated from the GPU's power instead.
    None: the board has no counter."""
    limit_watts: float | None = None
    reference_limit_watts: float | None = None
    """The limit found before our first write; the current limit where we wrote nothing."""
    pods: tuple[str, ...] = ()
    """The pods that hold the GPU, as the kubelet says: `namespace/name`."""
    override: Override | None = None
    """None while nobody but us sets its limit."""
    faults: tuple[str, ...] = ()


class NodeState(Message):
    """A node as its agent sees it."""

    node: str
    boot_id: str
    """New after each start of the agent."""
    ledger_id: str
    """New when the agent's ledger was lost; sequence numbers count per ledger."""
    clock: Instant
    last_seq: int = Field(ge=0)
    """Sequence number of the newest closed energy record; 0 before the first."""
    gpus: tuple[GpuState, ...] = ()
    faults: tuple[str, ...] = ()
    """What is wrong with the node as a whole, though its agent can read and enforce: `Reason: sentence`."""
