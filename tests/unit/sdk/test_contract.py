"""What a training serves is what the agent reads and the operator's annotation names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbonzeus import Progress
from carbonzeus_agent.clock import SystemClock
from carbonzeus_agent.progress import ProgressSeries, counter_in
from carbonzeus_agent.scraper import ScrapeFailed, Scraper
from carbonzeus_operator.resources.annotations import POLICY, PROGRESS, JobRequest, parse
from carbonzeus_wire import ProgressSource
from tests.unit.sdk.conftest import Clock

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def annotated(progress: Progress) -> tuple[ProgressSource, float | None]:
    """What the operator makes of a job that bears the annotation which this progress names."""
    request = parse({POLICY: "gentle", PROGRESS: progress.annotation}, {})
    assert isinstance(request, JobRequest)
    assert request.progress is not None
    return request.progress, request.total_progress


@pytest.mark.parametrize(
    ("total", "told"), [(90_000, 90_000), (None, None), (0, None), (-1, None), (float("inf"), None), (2.5, None)]
)
def test_the_operator_understands_the_annotation(total: Any, told: float | None) -> None:
    """As it stands on the job. No total is said where none is known."""
    source, total_progress = annotated(Progress(total_steps=total))
    assert source == ProgressSource(port=9100, path="/metrics", metric="train_steps_total")
    assert total_progress == told


async def test_the_agent_reads_the_count(clock: Clock) -> None:
    """The agent's own scraper, as the annotation tells it to."""
    with Progress(port=0) as progress:
        source, _ = annotated(progress)
        async with Scraper(SystemClock()) as scraper:
            for steps in (0, 1, 41, 10**12):
                progress.step(steps)
                look = await scraper.count("127.0.0.1", source)
                assert look.value == progress._done


async def test_the_agent_reads_the_part_of_the_step_under_way(clock: Clock) -> None:
    """Of the instant at which it asks."""
    with Progress(port=0) as progress:
        source, _ = annotated(progress)
        for _ in range(3):
            clock.passes(5.0)
            progress.step()
        async with Scraper(SystemClock()) as scraper:
            for share in (0.0, 0.25, 0.5, 0.75):
                assert (await scraper.count("127.0.0.1", source)).value == 3 + share
                clock.passes(1.25)


async def test_the_agent_is_told_where_nothing_is() -> None:
    """Another path, another metric, and nobody there any more."""
    async with Scraper(SystemClock()) as scraper:
        with Progress(port=0) as progress:
            source, _ = annotated(progress)
            for wrong in ({"path": "/"}, {"metric": "train_steps"}):
                with pytest.raises(ScrapeFailed):
                    await scraper.count("127.0.0.1", source.model_copy(update=wrong))
        with pytest.raises(ScrapeFailed):
            await scraper.count("127.0.0.1", source)


@pytest.mark.usefixtures("clock")
def test_steps_after_a_restart_are_counted_once() -> None:
    """A container that starts anew from its checkpoint counts from 0, and the agent adds what it sees from then on.

    A count that began at the checkpoint's step would fall to there, and be taken for as many new steps.
    """
    series = ProgressSeries()
    first, second = Progress(), Progress()
    looks = [(first, 0), (first, 300), (first, 200), (second, 20), (second, 80)]
    for index, (progress, steps) in enumerate(looks):
        progress.step(steps)
        series.observe(NOON + timedelta(seconds=5 * index), counter_in(progress._text(), "train_steps_total"))
    assert series.take(NOON, NOON + timedelta(seconds=5 * (len(looks) - 1))) == 300 + 200 + 20 + 80
