"""The real agent process on emulated boards: what its records say against what the boards really drew."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from carbonzeus_bed.gpus import Fault
from carbonzeus_bed.truth import Progress, Truth
from carbonzeus_wire import EnergyRecord

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage

EDGE_J = 25.0
"""What a record may be off at each of its ends [J] on a machine with much to do: the counter's 100 ms."""


def by_gpu(records: Iterable[EnergyRecord]) -> dict[str, list[EnergyRecord]]:
    found: dict[str, list[EnergyRecord]] = defaultdict(list)
    for record in records:
        found[record.gpu_uuid].append(record)
    return found


def true_j(truth: Truth, gpu: str, start: datetime, end: datetime) -> float:
    """What the board really drew over [start, end) [J]."""
    start_ns, end_ns = round(start.timestamp() * 1e9), round(end.timestamp() * 1e9)
    return sum(it.within(start_ns, end_ns) for it in truth.stretches if it.uuid == gpu) / 1000


def joules(records: Iterable[EnergyRecord]) -> float:
    return sum(record.energy_millijoules for record in records) / 1000


def assert_end_to_end(records: list[EnergyRecord]) -> None:
    for earlier, later in pairwise(records):
        assert later.start == earlier.end
        assert later.seq > earlier.seq


def test_records_agree_with_what_the_boards_drew(stage: Stage, agent: AgentProcess) -> None:
    """Records lie end to end, name limit and owner, and their energy is the truth's: in sum, and each by itself."""
    stage.pods(stage.pod("a"))
    steps = [(0.4 * k, (200, 150, 250)[k % 3]) for k in range(10)]
    agent.push(agent.plan("a", *steps))
    stage.waits(lambda: len(by_gpu(agent.energy())[stage.gpus[0]]) > 14, "all steps are recorded")
    agent.end()
    agent.start()
    truth = stage.truth(agent.energy()[-1].end)
    for gpu, found in by_gpu(agent.energy()).items():
        records = [record for record in found if record.quality == "Counter"]
        assert_end_to_end(found)
        truly_j = true_j(truth, gpu, records[0].start, records[-1].end)
        assert abs(joules(records) - truly_j) < 0.001 * truly_j + 2 * EDGE_J
        for record in records:
            assert abs(joules([record]) - true_j(truth, gpu, record.start, record.end)) < 2 * EDGE_J
    owned = [record for record in by_gpu(agent.energy())[stage.gpus[0]] if record.pod_uid == "uid-a"]
    assert {record.limit_watts for record in owned} >= {200, 150, 250}
    assert {record.pod for record in owned} == {"team/a"}


def test_records_end_at_utc_multiples(stage: Stage, agent: AgentProcess) -> None:
    """An idle GPU's records are cut where every second begins, and nobody owns them."""
    stage.waits(lambda: len(agent.energy()) >= 6, "three seconds are recorded")
    for records in by_gpu(agent.energy()).values():
        assert all(record.end.microsecond == 0 for record in records)
        assert all(record.pod is None and record.pod_uid is None for record in records)


def test_energy_by_use_adds_up_to_the_records_of_each_gpu(stage: Stage, agent: AgentProcess) -> None:
    """In the metrics: of pods under a plan, of other pods, and idle; all together are what the ledger has of the GPU."""
    stage.waits(lambda: len(agent.energy()) >= 4, "both GPUs are idle")
    stage.pods(stage.pod("a"), stage.pod("b"))
    agent.push(agent.plan("a", (0, 200)))
    stage.waits(lambda: any(one.pod_uid == "uid-a" for one in agent.energy()), "the plan is followed")
    stage.waits(lambda: any(one.pod == "team/b" for one in agent.energy()), "the other pod is measured")
    metrics, records = agent.metrics(), by_gpu(agent.energy())
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for gpu, use, value in re.findall(
        r'^carbonzeus_agent_energy_joules_total{gpu="(.+)",use="(.+)"} (.+)$', metrics, re.MULTILINE
    ):
        found[gpu][use] = float(value)
    first, second = stage.gpus[:2]
    assert set(found[first]) >= {"Idle", "Planned"}
    assert set(found[second]) == {"Idle", "Other"}
    for gpu, uses in found.items():
        sums = {round(joules(records[gpu][:count]), 3) for count in range(len(records[gpu]) + 1)}
        assert round(sum(uses.values()), 3) in sums
        assert f'carbonzeus_agent_counter_joules{{gpu="{gpu}"}}' in metrics


def test_killed_agent_loses_only_what_it_could_not_see(stage: Stage, agent: AgentProcess) -> None:
    """What was measured before SIGKILL is there after the restart; the time between is a Gap of the pod, without energy."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 200)))
    stage.waits(lambda: len(by_gpu(agent.energy())[stage.gpus[0]]) >= 3, "two seconds are recorded")
    before = agent.energy()
    ledger_id = agent.node().ledger_id
    agent.kill()
    agent.start()
    gpu = stage.gpus[0]
    stage.waits(
        lambda: [it.quality for it in by_gpu(agent.energy())[gpu]][-2:] == ["Gap", "Counter"], "it measures again"
    )

    assert agent.node().ledger_id == ledger_id
    assert agent.energy()[: len(before)] == before
    records = by_gpu(agent.energy())[stage.gpus[0]]
    assert_end_to_end(records)
    for gap in [record for record in records if record.quality == "Gap"]:
        assert (gap.pod, gap.pod_uid, gap.energy_millijoules, gap.limit_watts) == ("team/a", "uid-a", 0, None)
    measured = [record for record in records if record.quality != "Gap"]
    truth = stage.truth(measured[-1].end)
    truly_j = sum(true_j(truth, record.gpu_uuid, record.start, record.end) for record in measured)
    assert abs(joules(measured) - truly_j) < 0.001 * truly_j + 4 * EDGE_J


def test_repeated_kills_lose_and_double_nothing(stage: Stage, agent: AgentProcess) -> None:
    """Killed at any moment of a switching plan: no number comes twice, no record changes, every GPU is given back."""
    stage.pods(stage.pod("a", 2))
    seen: dict[int, EnergyRecord] = {}
    for delay in (3, 7, 11):
        agent.push(agent.plan("a", *((0.13 * k, (200, 150)[k % 2]) for k in range(60))))
        stage.waits(lambda: len(agent.energy()) >= len(seen) + delay, "some more is recorded")  # noqa: B023 - asked at once
        seen |= {record.seq: record for record in agent.energy()}
        agent.kill()
        agent.start()
        assert [stage.limit_w(0), stage.limit_w(1)] == [300, 300]
    records = agent.energy()
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert all(records[seq - 1] == record for seq, record in seen.items())
    for found in by_gpu(records).values():
        assert_end_to_end(found)


def test_reset_counter_is_bridged_by_power(stage: Stage, agent: AgentProcess) -> None:
    """A counter that starts again does not make energy up: that record is Integrated, the others are not."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 200)))
    stage.waits(lambda: len(agent.energy()) >= 4, "it measures")
    stage.node.reset_counter(0)
    stage.waits(lambda: "Integrated" in [record.quality for record in agent.energy()], "the reset is noticed")
    gpu = stage.gpus[0]
    [integrated] = [record for record in agent.energy() if record.quality == "Integrated"]
    truly_j = true_j(stage.truth(integrated.end), gpu, integrated.start, integrated.end)
    assert abs(joules([integrated]) - truly_j) < 0.3 * truly_j
    assert_end_to_end(by_gpu(agent.energy())[gpu])


def test_board_without_a_counter_is_integrated(stage: Stage, agent: AgentProcess) -> None:
    """Power samples stand in for the counter."""
    stage.node.inject(0, Fault.NO_COUNTER)
    agent.kill()
    agent.start()
    wanted = stage.gpus[0]
    stage.waits(
        lambda: any(it.gpu_uuid == wanted and it.quality == "Integrated" for it in agent.energy()), "integrated"
    )


def test_silent_gpu_leaves_a_gap_and_no_hole(stage: Stage, agent: AgentProcess) -> None:
    """While a GPU does not answer its time is a Gap; the time line has no hole."""
    gpu = stage.gpus[0]
    stage.waits(lambda: gpu in by_gpu(agent.energy()), "it measures")
    stage.node.inject(0, Fault.HUNG)
    stage.waits(lambda: by_gpu(agent.energy())[gpu][-1].quality == "Gap", "the gap is recorded")
    stage.node.clear(0)
    stage.waits(lambda: by_gpu(agent.energy())[gpu][-1].quality == "Counter", "it measures again")
    assert_end_to_end(by_gpu(agent.energy())[gpu])


def test_progress_goes_to_the_records_of_the_first_gpu(stage: Stage, agent: AgentProcess) -> None:
    """Steps are booked where they were done, once, on one of the pod's GPUs; the sum is what the endpoint counted."""
    port = 19_100 + stage.folder.stat().st_ino % 1000
    stage.pods(stage.pod("a", 2, metrics_port=port, steps_per_second=1000.0))
    progress = {"port": port, "metric": "train_steps_total"}
    agent.push(agent.plan("a", (-1, 300), (1, 150), progress=progress, podIP="127.0.0.1"))
    first = min(stage.gpus)
    stage.waits(lambda: len([it for it in agent.energy() if it.progress]) >= 4, "progress is booked")
    records = [record for record in agent.energy() if record.pod_uid == "uid-a"]
    assert all(record.progress is None for record in records if record.gpu_uuid != first)
    booked = [record for record in records if record.progress is not None]
    marks = stage.truth(booked[-1].end).progress["team/a"]
    truly = _steps_at(marks, booked[-1].end) - _steps_at(marks, booked[0].start)
    assert abs(sum(record.progress or 0 for record in booked) - truly) < 50
    speeds = {
        limit_w: sum(it.progress or 0 for it in booked if it.limit_watts == limit_w)
        / sum((it.end - it.start).total_seconds() for it in booked if it.limit_watts == limit_w)
        for limit_w in (300.0, 150.0)
    }
    assert speeds[150.0] < 0.8 * speeds[300.0]


def test_lost_disk_starts_a_new_ledger(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """A ledger that cannot be read is set aside, and its successor has another id."""
    agent = make_agent(stage)
    first = agent.node().ledger_id
    agent.kill()
    state = stage.folder / "state"
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (state / name).unlink(missing_ok=True)
    (state / "ledger.db").write_bytes(b"not a database" * 1000)
    agent.start()
    assert agent.node().ledger_id != first
    assert [file.name for file in state.glob("ledger.db.damaged-*")]
    stage.waits(agent.energy, "records are written again")


def test_records_given_up_for_room_are_counted(agent: AgentProcess) -> None:
    """None, on a node whose ledger is far from its cap."""
    assert "carbonzeus_agent_ledger_dropped_records_total 0.0" in agent.metrics()


def _steps_at(marks: Iterable[Progress], at: datetime) -> float:
    """Steps done at `at`, straight lines between the truth's lines."""
    before = None
    for mark in marks:
        if mark.at >= at:
            if before is None:
                return float(mark.steps)
            part = (at - before.at) / (mark.at - before.at)
            return float(before.steps + (mark.steps - before.steps) * part)
        before = mark
    assert before is not None
    return float(before.steps)
