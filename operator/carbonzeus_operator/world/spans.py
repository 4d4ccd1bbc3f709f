"""When all workers of a job ran: elapsed time and work count only then, for a waiting worker is not slowed down by us."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from carbonzeus_operator.world.objects import Pod

KEPT = 64
"""Spans kept per job. Older ones are long folded into the account."""


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end); end is None while it lasts."""

    start: datetime
    end: datetime | None = None


def all_running_since(pods: Iterable[Pod], workers: int) -> datetime | None:
    """Since when all of `workers` pods run together; None if they do not."""
    running = [pod.started_at for pod in pods if pod.running and pod.started_at is not None]
    return max(running) if running and len(running) >= workers else None


def extended(spans: tuple[Span, ...], pods: Iterable[Pod], workers: int, now: datetime) -> tuple[Span, ...]:
    """The spans of a job after a look at its pods at `now`."""
    pods = tuple(pods)
    since = all_running_since(pods, workers)
    current = spans[-1] if spans and spans[-1].end is None else None
    if since is None:
        if current is None:
            return spans
        ended = min((pod.finished_at for pod in pods if pod.finished_at is not None), default=now)
        return (*spans[:-1], Span(current.start, max(min(ended, now), current.start)))
    if current is not None and since <= current.start:
        return spans
    before = spans if current is None else (*spans[:-1], Span(current.start, since))
    return (*before, Span(since))[-KEPT:]
