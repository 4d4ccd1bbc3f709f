"""Pure: what came of a plan request, GPU by GPU."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from carbonzeus_agent.driver import GpuLost
from carbonzeus_agent.plans import Standing
from carbonzeus_agent.post import Post
from carbonzeus_wire import Applied, Outcome, PlanReply, PodPlan, Refusal, RefusalReason


def reply_for(
    standing: Standing, posts: Mapping[str, Post], silent: Collection[str], clock_offset_s: float | None
) -> PlanReply:
    """The reply to the request that made `standing`; `silent` are the GPUs that have not answered in time."""
    applied: list[Applied] = []
    refused = list(standing.refusals)
    for gpu, plan in sorted(standing.followed.items()):
        result = _hung(posts[gpu], plan) if gpu in silent else _result(posts[gpu], plan)
        if isinstance(result, Refusal):
            refused.append(result)
        else:
            applied.append(result)
    return PlanReply(
        fence=standing.fence, applied=tuple(applied), refused=tuple(refused), clock_offset_seconds=clock_offset_s
    )


def _hung(post: Post, plan: PodPlan) -> Applied:
    return Applied(
        pod_uid=plan.pod_uid,
        gpu_uuid=post.uuid,
        outcome=Outcome.FAULT,
        limit_watts=post.limit_w or 0.0,
        message=f"the driver has not answered for {post.busy_s:.1f} s; the plan is followed when it does",
    )


def _result(post: Post, plan: PodPlan) -> Applied | Refusal:
    visit = post.latest
    error = visit.error if visit is not None else None
    settled = visit.settled if visit is not None else None
    if isinstance(error, GpuLost):
        return Refusal(pod_uid=plan.pod_uid, gpu_uuid=post.uuid, reason=RefusalReason.GPU_LOST, message=str(error))
    if settled is not None and settled.refusal is not None:
        return Refusal(pod_uid=plan.pod_uid, gpu_uuid=post.uuid, reason=settled.refusal, message=settled.message)
    if settled is None or settled.limit_w is None:
        outcome, message = Outcome.FAULT, str(error or "the GPU was not visited")
    elif plan.mode == "Observe":
        outcome, message = Outcome.OBSERVED, ""
    else:
        outcome, message = settled.outcome, settled.message
    return Applied(
        pod_uid=plan.pod_uid,
        gpu_uuid=post.uuid,
        outcome=outcome,
        limit_watts=post.limit_w or 0.0,
        message=message,
    )
