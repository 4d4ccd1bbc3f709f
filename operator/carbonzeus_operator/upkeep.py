"""The statuses of policies and profiles: what the operator makes of them, written only where it changed."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from carbonzeus_operator import kube
from carbonzeus_operator.decide import Decisions
from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.resources.base import Condition
from carbonzeus_operator.resources.policy import CarbonPolicyStatus
from carbonzeus_operator.resources.profile import PowerProfileStatus
from carbonzeus_operator.resources.report import ReportState
from carbonzeus_operator.world.picture import Ours, Picture, Policy, Profile

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Writes the statuses of our kinds that people write."""

    connection: kube.Kube
    picture: Picture

    async def write(self, decisions: Decisions) -> None:
        """Writes what changed. A failure is logged and made good in a later round."""
        jobs = Counter(
            decision.terms.request.policy
            for decision in decisions.jobs
            if decision.terms is not None and decision.state is not ReportState.FINISHED
        )
        now = datetime.now(UTC).replace(microsecond=0)
        for policy in tuple(self.picture.policies.objects.values()):  # the watches go on meanwhile
            await self._put(kube.CARBONPOLICY, policy, policy_status(policy, jobs[policy.key.name], now))
        for profile in tuple(self.picture.profiles.objects.values()):
            await self._put(kube.POWERPROFILE, profile, profile_status(profile, now))

    async def _put(self, kind: kube.Kind, one: Ours[Any, Any], status: CarbonPolicyStatus | PowerProfileStatus) -> None:
        if status == one.status:
            return
        body = {**one.raw, "status": status.as_json()}
        try:
            written = await self.connection.replace(kind, body, subresource="status")
        except CarbonzeusError as error:
            log.info("the status of %s %s was not written this time: %s", kind.kind, one.key, error)
            return
        if written is not None:
            self.picture.observe(kind, "MODIFIED", written)


def policy_status(policy: Policy, jobs: int, now: datetime) -> CarbonPolicyStatus:
    """Ready, and how many jobs run under it."""
    before = policy.status.conditions if isinstance(policy.status, CarbonPolicyStatus) else ()
    ready = Condition(
        type="Ready",
        status="False" if isinstance(policy.spec, InvalidSpec) else "True",
        reason="Unreadable" if isinstance(policy.spec, InvalidSpec) else "Usable",
        message=str(policy.spec) if isinstance(policy.spec, InvalidSpec) else "jobs may name this policy",
        last_transition_time=now,
    )
    return CarbonPolicyStatus(
        observed_generation=policy.generation, jobs=jobs, conditions=Condition.updated(before, ready)
    )


def profile_status(profile: Profile, now: datetime) -> PowerProfileStatus:
    """Usable, and what had to be repaired."""
    status = profile.status if isinstance(profile.status, PowerProfileStatus) else PowerProfileStatus()
    before = status.conditions
    points: int | None = None
    repairs: tuple[str, ...] = ()
    usable, reason, message = True, "Usable", "plans can be made with this curve"
    try:
        if isinstance(profile.spec, InvalidSpec):
            raise profile.spec
        measured = [Point(*point) for point in profile.spec.to_points()]
        curve = Curve.from_points(measured, profile.spec.reference_limit_w)
        points, repairs = len(curve.hull), curve.repairs
    except InvalidSpec as error:
        usable, reason, message = False, error.reason, str(error)
    conditions = Condition.updated(
        before,
        _condition("Usable", usable, reason, message, now),
        _condition(
            "Repaired",
            bool(repairs),
            "Smoothed" if repairs else "AsMeasured",
            "; ".join(repairs)[:4096] or "every point is used as measured",
            now,
        ),
    )
    update = {"observed_generation": profile.generation, "points": points, "conditions": conditions}
    return status.model_copy(update=update)


def _condition(name: str, ok: bool, reason: str, message: str, now: datetime) -> Condition:
    return Condition(
        type=name, status="True" if ok else "False", reason=reason, message=message, last_transition_time=now
    )
