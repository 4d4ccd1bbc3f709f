"""How often a report's status is written: only when something worth reading changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from carbonzeus_operator import account as accounts
from carbonzeus_operator import reports
from carbonzeus_operator.decide import reconcile
from carbonzeus_operator.resources.report import CARBON_REPORT, CarbonReportStatus
from carbonzeus_operator.run import Run, report_key
from carbonzeus_operator.world.picture import ours
from carbonzeus_operator.world.snapshot import Snapshot
from carbonzeus_wire import EnergyRecord, Quality
from tests.unit.operator import world
from tests.unit.operator.world import A40, NOON, RULES

ROUND = timedelta(minutes=1)
RECORD = timedelta(minutes=5)
HOURS = 6
LEDGER = "ledger-1"


def records(run: Run, start: datetime, end: datetime, first: int) -> Iterator[EnergyRecord]:
    """What the agent measured over [start, end), cut where the plan's limit changes."""
    steps = run.active.timeline if run.active is not None else ()
    cuts = sorted({start, end, *(step.at for step in steps if start < step.at < end)})
    for seq, (low, high) in enumerate(pairwise(cuts), start=first):
        limit_w = next((step.limits_w["NVIDIA A40"] for step in reversed(steps) if step.at <= low), 300.0)
        watts = next(float(power) for limit, power, _ in A40 if limit >= limit_w)
        yield EnergyRecord(
            seq=seq,
            gpu_uuid="GPU-1",
            pod_uid="uid-w-0",
            pod="ml/w-0",
            start=low,
            end=high,
            limit_watts=limit_w,
            energy_millijoules=round(watts * (high - low).total_seconds() * 1000),
            quality=Quality.COUNTER,
        )


def test_a_status_is_written_when_records_come_in_or_a_plan_is_made() -> None:
    """Rounds of a minute, records and plans of five: two writes in five minutes at most, none in a round without news."""
    snapshot = world.cluster(grid={world.ZONE: world.grid(hours=48)})
    (view,) = snapshot.jobs
    run = Run(view.job, report_key(view.job), ledgers={LEDGER})
    raw = {"apiVersion": "carbonzeus.dev/v1alpha1", "kind": "CarbonReport", **reports.new_report(run)}
    raw["metadata"] |= {"uid": "uid-report", "resourceVersion": "1", "generation": 1}
    run.report = ours(CARBON_REPORT, raw)
    writes = unchanged = size = seq = 0
    folded = NOON
    for minute in range(HOURS * 60):
        now = NOON + ROUND * minute
        snapshot = replace(snapshot, now=now, jobs=(run.view(view.pods),))
        run.observe(view.pods, snapshot.nodes, now)
        run.agree(view.pods, snapshot)
        while folded + RECORD <= now:
            found = list(records(run, folded, folded + RECORD, seq + 1))
            run.fold(LEDGER, found, series=(snapshot.grid[world.ZONE].forecast,))
            folded, seq = folded + RECORD, found[-1].seq
        run.grid_key = world.ZONE
        run.settle(snapshot.grid, now)
        snapshot = replace(snapshot, jobs=(run.view(view.pods),))
        status = status_after(run, snapshot)
        before = run.report.status
        if isinstance(before, CarbonReportStatus) and before == status:
            unchanged += 1
            continue
        writes += 1
        body = {**raw, "status": json.loads(json.dumps(status.as_json()))}
        size = len(json.dumps(body["status"]))
        run.report = ours(CARBON_REPORT, body)
    print(f"\n{writes / HOURS:.1f} writes a job-hour of {size} bytes; {unchanged} of {HOURS * 60} rounds write nothing")
    assert accounts.slowdown(run.account) is not None
    assert writes <= HOURS * 12 * 2
    assert unchanged >= HOURS * 30


def status_after(run: Run, snapshot: Snapshot) -> CarbonReportStatus:
    """Decide, and say so."""
    (decision,) = reconcile(snapshot, RULES).jobs
    run.active = decision.active
    return reports.status_of(run, decision, snapshot, RULES)
