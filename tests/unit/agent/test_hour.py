"""An hour of mixed load on emulated boards, in a few seconds: records against what the boards really drew."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from carbonzeus_agent.builder import RecordBuilder
from carbonzeus_agent.driver import Reading
from carbonzeus_agent.records import NOBODY, Closed, Owner, Sample
from carbonzeus_bed.plant import NodeSpec, Plant
from carbonzeus_bed.pods import Pod
from carbonzeus_bed.truth import Truth, TruthLog
from carbonzeus_wire import Quality

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)
BEGAN_NS = int(BEGAN.timestamp()) * 10**9
HOUR_S = 3600
LIMITS_W = (300, 250, 200, 175, 150, 125)
TRAINER = Pod(
    uid="uid-a",
    namespace="team",
    name="a",
    node="node",
    ip="127.0.0.1",
    phase="Running",
    deleting=False,
    containers=(("main", 1),),
    job="team/a",
    job_uid="job-a",
)
OWNER = Owner("team/a", "uid-a")


def an_hour(folder: Path) -> tuple[list[Closed], str]:
    """Two boards, one of them trained on and off under changing limits, read about once a second; records of the first one."""
    rng = random.Random(3)
    log = TruthLog(folder / "truth")
    plant = Plant(folder, [NodeSpec("node", 2)], log, now_ns=BEGAN_NS, seed=5, noise=0.02)
    board = plant.boards[0]
    builder = RecordBuilder(
        board.uuid, every=timedelta(seconds=300), bridge_s=300, blink_s=5, ceiling_w=2 * board.product.maximum_w
    )
    closed: list[Closed] = []
    now_s, limit_since = 0.0, None
    for second in range(HOUR_S):
        if second % 240 == 17:
            pods = [TRAINER] if second // 240 % 3 else []
            plant.update(pods, round(BEGAN_NS + now_s * 1e9))
            builder.own(BEGAN + timedelta(seconds=now_s), OWNER if pods else NOBODY)
        if second % 90 == 33:
            limit_since = BEGAN + timedelta(seconds=now_s)
            board.state.limit_changed_ns = round(BEGAN_NS + now_s * 1e9)
            board.state.limit_mw = rng.choice(LIMITS_W) * 1000
        until_s = second + rng.uniform(0.95, 1.05)
        while now_s < until_s:
            now_s = min(now_s + 0.05, until_s)
            plant.tick(round(BEGAN_NS + now_s * 1e9))
        state = board.state
        reading = Reading(
            state.counter_mj, state.average_power_mw / 1000, state.sm_mhz, state.mem_mhz, state.utilization / 100
        )
        at = BEGAN + timedelta(seconds=now_s)
        closed += builder.observe(Sample(at, 1000 + now_s, state.limit_mw / 1000, reading, limit_since=limit_since))
        limit_since = None
    closed += builder.finish()
    uuid = board.uuid
    plant.close()
    log.close()
    return closed, uuid


def test_an_hours_energy_is_the_boards_within_a_thousandth(tmp_path: Path) -> None:
    """With 2 % of noise, a power reading that lags by a second and a counter that moves ten times a second.

    The whole hour within 0.1 %, and so is what the pod used and what each limit used, within the counter's 100 ms a record.
    """
    records, uuid = an_hour(tmp_path)
    truth = Truth.read(tmp_path / "truth")
    assert {record.quality for record in records} == {Quality.COUNTER}
    true_mj = truth.energy_mj(uuid=uuid, start=records[0].start, end=records[-1].end)
    assert abs(sum(record.energy_mj for record in records) - true_mj) < 0.001 * true_mj
    groups: dict[tuple[str | None, float | None], list[Closed]] = defaultdict(list)
    for record in records:
        groups["pod", None] += [record] if record.owner == OWNER else []
        groups["limit", record.limit_w].append(record)
    assert len(groups) == 1 + len(LIMITS_W)
    for group in groups.values():
        truly_mj = sum(truth.energy_mj(uuid=uuid, start=it.start, end=it.end) for it in group)
        edge_mj = 0.1 * 300 * 1000
        assert abs(sum(it.energy_mj for it in group) - truly_mj) < 0.001 * truly_mj + edge_mj * len(group)
