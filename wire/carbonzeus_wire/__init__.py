"""The contract between operator and agent: what travels, and nothing else. Version `/v1`."""

from carbonzeus_wire.energy import EnergyPage, EnergyRecord, Quality
from carbonzeus_wire.identity import agent_name, operator_name
from carbonzeus_wire.node import GpuState, NodeState, Override, PowerScope
from carbonzeus_wire.plans import (
    Applied,
    Fence,
    Outcome,
    PlanReply,
    PlanRequest,
    PodPlan,
    ProgressSource,
    Refusal,
    RefusalReason,
    Step,
)

__all__ = [
    "Applied",
    "EnergyPage",
    "EnergyRecord",
    "Fence",
    "GpuState",
    "NodeState",
    "Outcome",
    "Override",
    "PlanReply",
    "PlanRequest",
    "PodPlan",
    "PowerScope",
    "ProgressSource",
    "Quality",
    "Refusal",
    "RefusalReason",
    "Step",
    "agent_name",
    "operator_name",
]
