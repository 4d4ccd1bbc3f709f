"""SIGKILL again and again, at any moment, while limits switch: nothing is lost but what nobody saw, and no GPU stays limited."""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from carbonzeus_wire import EnergyRecord, Quality

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage

THOROUGH = os.environ.get("CARBONZEUS_THOROUGH") == "1"
KILLS = 100 if THOROUGH else 8
SAMPLE_S = 0.25
UNSEEN_S = 1.0
"""So much before a kill is not on disk: a sample and the commit after it, on a machine with much to do."""
COUNTER_S = 0.1
"""A board's counter moves ten times a second, so the last value before a kill is that old at most."""
BOARD_W = 300


def test_energy_is_exact_and_no_gpu_limited_however_often_the_agent_is_killed(
    stage: Stage, make_agent: Callable[..., AgentProcess]
) -> None:
    """100 kills with CARBONZEUS_THOROUGH=1: one in four while the agent starts, the others under a plan that switches each second.

    After every start all GPUs are at the reference limit until the plan comes, no sequence number is used twice, no record changes,
    and every record's energy is the boards' but for the counter's step at each kill; what is missing is a Gap that begins
    less than a second before the kill.
    """
    rng = random.Random(7)
    agent = make_agent(stage, CARBONZEUS_SAMPLE_SECONDS=str(SAMPLE_S))
    ledger_id = agent.node().ledger_id
    stage.pods(stage.pod("a", 2))
    seen: dict[int, EnergyRecord] = {}
    killed: list[datetime] = []
    for _ in range(KILLS):
        agent.push(agent.plan("a", (-1, 200), *((k, (150, 250, 200)[k % 3]) for k in range(1, 60))))
        time.sleep(rng.uniform(0.05, 2.5))
        for record in agent.energy():
            assert seen.setdefault(record.seq, record) == record
        killed.append(datetime.now(UTC))
        agent.kill()
        if rng.random() < 0.25:
            agent.launch()
            time.sleep(rng.uniform(0, 1.0))
            killed.append(datetime.now(UTC))
            agent.kill()
        agent.start()
        assert [stage.limit_w(0), stage.limit_w(1)] == [300, 300]
    time.sleep(1.5)
    assert agent.end() == 0
    assert [stage.limit_w(0), stage.limit_w(1)] == [300, 300]
    agent.start()
    records = agent.energy()
    assert agent.node().ledger_id == ledger_id
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert all(records[seq - 1] == record for seq, record in seen.items())
    assert_true(stage, records, killed)


def assert_true(stage: Stage, records: list[EnergyRecord], killed: list[datetime]) -> None:
    """Records lie end to end, gaps begin at kills, and the rest is what the boards drew."""
    by_gpu: dict[str, list[EnergyRecord]] = defaultdict(list)
    for record in records:
        by_gpu[record.gpu_uuid].append(record)
    truth = stage.truth(max(found[-1].end for found in by_gpu.values()))
    for gpu, found in by_gpu.items():
        assert all(later.start == earlier.end for earlier, later in pairwise(found))
        measured = [record for record in found if record.quality is not Quality.GAP]
        starts = [
            gap.start for before, gap in pairwise(found) if gap.quality is Quality.GAP and before.quality != gap.quality
        ]
        for start in starts[:-1]:  # the last one is from the end that was asked for
            kill = min((at for at in killed if at > start), default=None)
            assert kill is not None
            assert (kill - start).total_seconds() < SAMPLE_S + UNSEEN_S
        mj = sum(record.energy_millijoules for record in measured)
        true_mj = sum(truth.energy_mj(uuid=gpu, start=record.start, end=record.end) for record in measured)
        edges_mj = (len(starts) + 1) * COUNTER_S * BOARD_W * 1000
        assert abs(mj - true_mj) < 0.001 * true_mj + edges_mj
