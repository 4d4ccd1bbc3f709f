"""What the cluster shows of a job: its pods with GPUs, and when all workers ran."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from carbonzeus_operator.account.cells import to_us
from carbonzeus_operator.account.model import Account, JobPod, Span
from carbonzeus_operator.resources.ledger import MAX_PODS, MAX_SPANS

CLOCK_STEP = timedelta(seconds=1)
"""Kubernetes tells the ends of containers in whole seconds, cut off."""


def observe(account: Account, pods: Iterable[JobPod], *, running_since: datetime | None, now: datetime) -> Account:
    """Takes what the cluster shows: the job's pods with GPUs, and since when all workers run (None: they do not).

    A pod that is no longer shown has ended now, unless its end was seen. A wrong end is set right when it shows again.
    The same object where nothing is new.
    """
    shown = {pod.uid: pod for pod in pods}
    known = {pod.uid: pod for pod in account.pods}
    merged = [replace(pod, ended=now) if pod.ended is None and pod.uid not in shown else pod for pod in known.values()]
    merged = [
        replace(
            shown[pod.uid],
            started=min(pod.started, shown[pod.uid].started),
            clock_gpu=pod.clock_gpu,
            clock_limit_w=pod.clock_limit_w,
        )
        if pod.uid in shown
        else pod
        for pod in merged
    ]
    merged += [pod for uid, pod in shown.items() if uid not in known]
    kept, retired_us = _within_bounds(merged)
    spans = _spans(account.running, kept, running_since, now)[-MAX_SPANS:]
    if (kept, spans, retired_us) == (account.pods, account.running, 0):
        return account
    return replace(
        account,
        pods=kept,
        retired_us=account.retired_us + retired_us,
        running=spans,
    )


def _within_bounds(pods: Sequence[JobPod]) -> tuple[tuple[JobPod, ...], int]:
    """The pods to remember, and the GPU time [us] of those to forget."""
    if len(pods) <= MAX_PODS:
        return tuple(pods), 0
    ended = sorted((pod.ended, pod.uid) for pod in pods if pod.ended is not None)
    forgotten = {uid for _, uid in ended[: len(pods) - MAX_PODS]}
    retired_us = sum(
        pod.gpus * max(to_us(pod.ended) - to_us(pod.started), 0)
        for pod in pods
        if pod.uid in forgotten and pod.ended is not None
    )
    return tuple(pod for pod in pods if pod.uid not in forgotten), retired_us


def _spans(
    before: tuple[Span, ...], pods: Sequence[JobPod], running_since: datetime | None, now: datetime
) -> tuple[Span, ...]:
    last = before[-1] if before else None
    if last is not None and last.end is None:
        if running_since is not None and running_since <= last.start:
            return before
        ends = [pod.ended + CLOCK_STEP for pod in pods if pod.ended is not None and pod.ended > last.start]
        end = min([*ends, running_since or now, now])
        before = (*before[:-1], Span(last.start, end)) if end > last.start else before[:-1]
        last = before[-1] if before else None
    if running_since is None:
        return before
    start = running_since if last is None or last.end is None else max(running_since, last.end)
    return (*before, Span(start))
