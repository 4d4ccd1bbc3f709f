"""Pure: what a node shall do now and when that changes, from its plans, the owners of its GPUs, and the time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from carbonzeus_agent.driver import Board
from carbonzeus_agent.owners import Claim, Owners
from carbonzeus_wire import Fence, PlanRequest, PodPlan, Refusal, RefusalReason


@dataclass(frozen=True, slots=True)
class Aim:
    """What a GPU's limit shall be now."""

    planned: bool = False
    """A plan stands. Without one the GPU is given back: prior limit restored, journal cleared."""
    limit_w: float | None = None
    """None: the reference limit."""
    ahead_w: frozenset[float] = frozenset()
    """Every limit that the plan may ask for, so that the journal can name them all beforehand."""
    pod_uid: str = ""
    """Whose plan it is."""
    unheard: bool = False
    """No plans came since the start, or since nobody knew the owners: so no plan has ended either."""


RELEASE = Aim()
UNHEARD = Aim(unheard=True)
CLOCK_TOLERANCE_S = 5.0
"""A wall clock that is further off is not believed. A push may be under way for as long."""
BEGINNING = Fence(term=0, revision=0)


def is_older(fence: Fence, standing: Fence) -> bool:
    """Whether a request with `fence` comes too late. The same fence again is the same request again."""
    return (fence.term, fence.revision) < (standing.term, standing.revision)


class StaleFence(Exception):
    """A newer leader, or a newer push of the same one, was here already."""

    def __init__(self, standing: Fence) -> None:
        super().__init__(f"an older fence than the standing {standing.term}.{standing.revision}")
        self.standing = standing


def check(fence: Fence, standing: Fence) -> None:
    """Raises `StaleFence` where a request with `fence` comes too late."""
    if is_older(fence, standing):
        raise StaleFence(standing)


def limit_at(plan: PodPlan, now: datetime) -> float | None:
    """The limit a plan asks for [W]; None where the reference limit shall hold."""
    index = bisect_right(plan.steps, now, key=lambda step: step.at)
    return plan.steps[index - 1].limit_watts if index else None


def next_switch(plan: PodPlan, now: datetime) -> datetime | None:
    """The first instant after `now` at which the plan changes its limit."""
    if plan.mode != "Enforce":
        return None
    index = bisect_right(plan.steps, now, key=lambda step: step.at)
    return plan.steps[index].at if index < len(plan.steps) else None


@dataclass(frozen=True, slots=True)
class Standing:
    """The plans that stand, by pod, and which GPU follows which. Immutable: any thread may read it."""

    fence: Fence = BEGINNING
    lease_end_s: float = 0.0
    """On the boot clock, which nobody can set."""
    told: datetime | None = None
    """What time it was when the plans came, at `told_boot_s`: by the operator where it said so, else by the wall clock."""
    told_boot_s: float = 0.0
    by_operator: bool = False
    plans: Mapping[str, PodPlan] = field(default_factory=dict)
    """By `namespace/name` of the pod."""
    followed: Mapping[str, PodPlan] = field(default_factory=dict)
    """By GPU UUID."""
    ahead_w: Mapping[str, frozenset[float]] = field(default_factory=dict)
    """By pod: every limit that its plan may ask for."""
    refusals: tuple[Refusal, ...] = ()

    def leased(self, boot_s: float) -> bool:
        return boot_s < self.lease_end_s

    def time(self, utc: datetime, boot_s: float) -> datetime:
        """The time by which steps are taken: the wall clock's, unless somebody set it, or it differs from the operator's.

        Then it is what passed since the plans came. So a clock that is set an hour ahead takes no step before its time.
        """
        if self.told is None:
            return utc
        expected = self.told + timedelta(seconds=boot_s - self.told_boot_s)
        return utc if abs((utc - expected).total_seconds()) <= CLOCK_TOLERANCE_S else expected

    def offset_s(self, utc: datetime, boot_s: float) -> float | None:
        """By how much the wall clock is ahead of the operator's [s]; None where the operator did not tell its time."""
        if self.told is None or not self.by_operator:
            return None
        return (utc - self.told).total_seconds() - (boot_s - self.told_boot_s)

    def aim(self, gpu: str, utc: datetime, boot_s: float) -> Aim:
        """What the limit of this GPU shall be now."""
        if self.told is None:
            return UNHEARD
        plan = self.followed.get(gpu)
        if plan is None or plan.mode != "Enforce" or not self.leased(boot_s):
            return RELEASE
        limit_w = limit_at(plan, self.time(utc, boot_s))
        return Aim(planned=True, limit_w=limit_w, ahead_w=self.ahead_w[plan.pod], pod_uid=plan.pod_uid)

    def next_switch(self, now: datetime) -> datetime | None:
        """The first instant after `now` at which any GPU changes its limit."""
        switches = (next_switch(plan, now) for plan in self.followed.values())
        return min((at for at in switches if at is not None), default=None)


def accept(
    request: PlanRequest, utc: datetime, boot_s: float, owners: Owners | None, boards: Mapping[str, Board]
) -> Standing:
    """The standing after a request; `owners` None: the kubelet does not answer, so nothing can be followed."""
    standing = Standing(
        fence=request.fence,
        lease_end_s=boot_s + request.lease_seconds,
        told=request.sent_at or utc,
        told_boot_s=boot_s,
        by_operator=request.sent_at is not None,
        plans={plan.pod: plan for plan in request.plans},
    )
    return assign(standing, owners, boards)


def assign(standing: Standing, owners: Owners | None, boards: Mapping[str, Board]) -> Standing:
    """Give each plan the GPUs that its pod owns alone.

    A plan whose pod is not there is dropped, not kept: a pod that comes later under the same name is another pod, and
    must not inherit its limits. The operator pushes again within a cycle.
    """
    followed: dict[str, PodPlan] = {}
    refusals: list[Refusal] = []
    plans: dict[str, PodPlan] = {}
    for plan in standing.plans.values():
        if owners is None:
            refusals.append(
                _refuse(plan, None, RefusalReason.OWNER_UNKNOWN, "the kubelet's PodResources socket does not answer")
            )
            continue
        claims = owners.claims_of(plan.pod)
        if not claims:
            refusals.append(
                _refuse(plan, None, RefusalReason.UNKNOWN_POD, f"the kubelet knows no GPU of pod {plan.pod}")
            )
            continue
        plans[plan.pod] = plan
        for claim in claims:
            refusal = _objection(plan, claim, owners, boards)
            if refusal is not None:
                refusals.append(refusal)
            elif claim.gpu is not None:
                followed[claim.gpu] = plan
    ahead_w = {pod: frozenset(step.limit_watts for step in plan.steps) for pod, plan in plans.items()}
    return replace(standing, plans=plans, followed=followed, ahead_w=ahead_w, refusals=tuple(refusals))


def _objection(plan: PodPlan, claim: Claim, owners: Owners, boards: Mapping[str, Board]) -> Refusal | None:
    """Why this claim of the pod cannot follow its plan, if it cannot."""
    if claim.mig:
        return _refuse(plan, claim.device, RefusalReason.MIG, "a MIG device has no power limit of its own")
    gpu = claim.gpu
    if gpu is None or gpu not in boards:
        return _not_found(plan, claim)
    if claim.replica:
        return _refuse(plan, gpu, RefusalReason.SHARED_GPU, f"{claim.device} is a share of a time-sliced GPU")
    if owners.sole_owner(gpu) is None:
        others = ", ".join(pod for pod in owners.pods_of(gpu) if pod != plan.pod)
        return _refuse(plan, gpu, RefusalReason.SHARED_GPU, f"the GPU is also held by {others}")
    return _objection_to_board(plan, boards[gpu])


def _not_found(plan: PodPlan, claim: Claim) -> Refusal:
    if not claim.known:
        message = (
            f"which GPU the device plugin means by {claim.device} is not known: carbonzeus knows ids that are UUIDs (NVIDIA's"
            " device plugin) or names of device files (GKE's)"
        )
        return _refuse(plan, claim.device, RefusalReason.NOT_SUPPORTED, message)
    named = "" if claim.minor is None else f" as /dev/nvidia{claim.minor}: none has the minor number {claim.minor}"
    return _refuse(plan, claim.device, RefusalReason.GPU_LOST, f"the driver knows no such GPU{named}")


def _objection_to_board(plan: PodPlan, board: Board) -> Refusal | None:
    if board.mig:
        return _refuse(plan, board.uuid, RefusalReason.MIG, "MIG mode is on: its instances share the power limit")
    if board.foreign_limits is not None:
        return _refuse(plan, board.uuid, RefusalReason.NOT_SUPPORTED, board.foreign_limits)
    if board.minimum_limit_w is None or board.maximum_limit_w is None:
        return _refuse(plan, board.uuid, RefusalReason.NOT_SUPPORTED, "the board does not tell its power limits")
    return None


def _refuse(plan: PodPlan, gpu: str | None, reason: RefusalReason, message: str) -> Refusal:
    return Refusal(pod_uid=plan.pod_uid, gpu_uuid=gpu, reason=reason, message=message)
