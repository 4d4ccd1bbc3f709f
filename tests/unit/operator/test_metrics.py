"""What a dashboard is told of jobs."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from carbonzeus_operator.decide import Decisions, reconcile
from carbonzeus_operator.fleet.fleet import Fleet
from carbonzeus_operator.fleet.transport import AgentTransport
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.file import FileProvider
from carbonzeus_operator.metrics import Metrics
from carbonzeus_operator.plan.schedule import PlanStep
from carbonzeus_operator.run import Run, report_key
from carbonzeus_operator.runs import Runs
from carbonzeus_operator.world.snapshot import Rules
from tests.unit.operator import world
from tests.unit.operator.world import NOON


async def test_the_limit_is_that_of_the_step_in_force(tmp_path: Path) -> None:
    """A plan that was made an hour ago has had other steps since."""
    job = world.job()
    (decided,) = reconcile(world.cluster(), Rules()).jobs
    assert decided.active is not None
    steps = tuple(PlanStep(NOON + timedelta(hours=hour), {"NVIDIA A40": 250.0 - 25 * hour}, 0.98) for hour in range(3))
    decision = replace(decided, active=replace(decided.active, timeline=steps))
    runs = Runs({report_key(job): Run(job, report_key(job))})
    transport = AgentTransport(port=1, timeout_s=1, concurrency=1, tls=ssl.create_default_context, name="nobody")
    grid = GridCache(FileProvider(tmp_path, lambda: NOON), state_dir=None, refresh_s=300, now=lambda: NOON)
    metrics, fleet = Metrics(), Fleet(transport)
    told = []
    for minutes in (0, 59, 61, 600):
        now = NOON + timedelta(minutes=minutes)
        metrics.show(runs, Decisions((decision,)), fleet, grid, now)
        labels = {"namespace": job.key.namespace, "job": job.key.name, "product": "NVIDIA A40"}
        told.append(metrics.registry.get_sample_value("carbonzeus_job_limit_watts", labels))
    await grid.close()
    assert told == [250.0, 250.0, 225.0, 200.0]
