"""What the endpoints of emulated pods tell."""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import pytest

from carbonzeus_bed.pods import Pod
from carbonzeus_bed.stage import Stage
from carbonzeus_bed.stagehand import pod_from
from carbonzeus_bed.training import Endpoints, Job, exposition

POD_IP = f"127.32.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
"""Of this run alone: another may be under way on the same machine."""


def worker(**more: Any) -> Pod:
    """As a stage is told of it."""
    return pod_from(Stage.pod("train", **more))


@pytest.mark.parametrize(
    ("counts", "steps", "told"),
    [
        ("Whole", 0.0, "0"),
        ("Whole", 12.9996, "12"),
        ("Parts", 0.0, "0.000"),
        ("Parts", 12.9996, "12.999"),
        ("Parts", 1e9, "1000000000.000"),
    ],
)
def test_steps_are_told_whole_or_with_their_parts(counts: str, steps: float, told: str) -> None:
    """And never before they are made."""
    assert exposition(Job("team/train", "uid", steps=steps), counts).splitlines()[-1] == f"train_steps_total {told}"


def test_what_is_planned_is_whole() -> None:
    """However the steps are told."""
    job = Job("team/train", "uid", [worker(steps=50)], steps=12.5)
    assert exposition(job, "Parts").splitlines()[-1] == "train_steps_planned 50"


@pytest.mark.parametrize(("more", "told"), [({}, "12"), ({"counts": "Whole"}, "12"), ({"counts": "Parts"}, "12.500")])
async def test_a_pod_tells_as_it_says(more: dict[str, str], told: str) -> None:
    """Whole steps where it says nothing."""
    pod = worker(**{"ip": POD_IP, **more})
    endpoints = Endpoints({pod.job_uid: Job(pod.job, pod.job_uid, [pod], steps=12.5)}.get)
    await endpoints.sync([pod])
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{POD_IP}:{pod.metrics_port}/metrics") as reply,
        ):
            assert (await reply.text()).splitlines()[-1] == f"train_steps_total {told}"
    finally:
        await endpoints.close()
