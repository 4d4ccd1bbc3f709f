"""What breaks on a node, one test each: the agent says so, and no GPU stays limited for longer than its lease."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from carbonzeus_bed.gpus import Fault
from carbonzeus_bed.stage import eventually
from carbonzeus_bed.wrongclock import WrongClock

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage

LEASE_S = 2.5
REFERENCE_W = 300
GRACE_S = 30
"""What the chart leaves a pod to end in."""
HOUR_S = 3600


def limits(stage: Stage) -> list[float]:
    return [stage.limit_w(index) for index in range(len(stage.gpus))]


def assert_free_with_the_lease(stage: Stage, pushed_s: float, lease_s: float = LEASE_S) -> None:
    """No GPU is limited once the lease of the push at `pushed_s` has run out."""
    time.sleep(max(0.0, pushed_s + lease_s + 0.5 - time.monotonic()))
    assert limits(stage) == [REFERENCE_W] * len(stage.gpus)


@contextmanager
def full_disk(agent: AgentProcess) -> Iterator[None]:
    """No file of the agent can grow any more."""
    assert agent.process is not None
    pid, free = agent.process.pid, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, free)


def test_full_disk_caps_nothing(stage: Stage, agent: AgentProcess) -> None:
    """A prior limit that cannot be made durable is not given up: the plan is refused, until there is room again."""
    stage.pods(stage.pod("a"))
    with full_disk(agent):
        reply = agent.push(agent.plan("a", (-1, 150)))
        assert [(it.gpu_uuid, it.reason) for it in reply.refused] == [(stage.gpus[0], "JournalFailed")]
        assert limits(stage) == [300, 300]
        assert "JournalFailed" in agent.ready()[1]
        eventually(lambda: "LedgerFailed" in agent.ready()[1], "the ledger is missed too")
    eventually(lambda: stage.limit_w(0) == 150, "the plan is followed once there is room")
    eventually(lambda: agent.ready() == (True, []), "readiness is back")
    pushed_s = time.monotonic()
    agent.push(agent.plan("a", (-1, 150)), lease_s=LEASE_S)
    assert_free_with_the_lease(stage, pushed_s)


def test_disk_that_fills_up_under_a_plan_gives_the_gpu_back(stage: Stage, agent: AgentProcess) -> None:
    """A new plan's limits cannot be journaled: what stood goes back to the prior limit, and is not left half followed."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    with full_disk(agent):
        reply = agent.push(agent.plan("a", (-1, 175)))
        assert [it.reason for it in reply.refused] == ["JournalFailed"]
        assert limits(stage) == [300, 300]


def test_agent_that_starts_on_a_full_disk_gives_back_what_was_left(stage: Stage, agent: AgentProcess) -> None:
    """Reading the journal needs no room."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    agent.kill()
    agent.launch("prlimit", "--fsize=0")
    eventually(lambda: limits(stage) == [300, 300], "the prior limit is back")
    eventually(lambda: agent.listens() and "JournalFailed" in agent.ready()[1], "readiness says so")


def test_damaged_journal_is_set_aside_and_the_gpu_given_back(stage: Stage, agent: AgentProcess) -> None:
    """Its twin knows the prior limit; the damaged file stays for whoever wants to know."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    agent.kill()
    spoil(stage.folder / "state" / "journal.db")
    agent.start()
    assert limits(stage) == [300, 300]
    assert list((stage.folder / "state").glob("journal.db.damaged-*"))
    pushed_s = time.monotonic()
    [applied] = agent.push(agent.plan("a", (-1, 150)), lease_s=LEASE_S).applied
    assert applied.limit_watts == 150
    assert_free_with_the_lease(stage, pushed_s)


def test_gpu_whose_prior_limit_nobody_knows_is_not_capped(stage: Stage, agent: AgentProcess) -> None:
    """Both files are damaged: reply and readiness say so, and the GPU is left for an admin to decide on."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)))
    agent.kill()
    spoil(stage.folder / "state" / "journal.db")
    spoil(stage.folder / "state" / "journal.json")
    agent.start()
    [refusal] = agent.push(agent.plan("a", (-1, 120))).refused
    assert refusal.reason == "JournalFailed"
    assert "set the limit it shall have" in refusal.message
    assert agent.ready() == (False, ["JournalFailed"])
    assert limits(stage) == [150, 300]
    stage.node.set_limit(0, REFERENCE_W)
    pushed_s = time.monotonic()
    assert [it.limit_watts for it in agent.push(agent.plan("a", (-1, 120)), lease_s=LEASE_S).applied] == [120]
    assert_free_with_the_lease(stage, pushed_s)


def test_journal_that_cannot_be_opened_caps_nothing(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """Something else lies where it should be: refused and said, until it is gone."""
    (stage.folder / "state" / "journal.db").mkdir(parents=True)
    agent = make_agent(stage)
    stage.pods(stage.pod("a"))
    assert [it.reason for it in agent.push(agent.plan("a", (-1, 150))).refused] == ["JournalFailed"]
    assert set(agent.ready()[1]) == {"JournalFailed"}
    assert limits(stage) == [300, 300]
    (stage.folder / "state" / "journal.db").rmdir()
    eventually(lambda: stage.limit_w(0) == 150, "the plan is followed")
    assert agent.ready() == (True, [])


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    return WrongClock(tmp_path / "clock")


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])
def test_clock_that_is_set_extends_no_lease_and_fires_no_step(
    stage: Stage, make_agent: Callable[..., AgentProcess], clock: WrongClock, jump_s: float
) -> None:
    """Steps and lease go on by the time that passes."""
    agent = make_agent(stage, **clock.environment)
    stage.pods(stage.pod("a"))
    pushed_s = time.monotonic()
    plan = agent.plan("a", (-1, 200), (1.5, 150), (30 * 60, 120))
    agent.push(plan, lease_s=LEASE_S)
    clock.set(jump_s)
    eventually(lambda: stage.limit_w(0) == 150, "the step that is due is taken", within_s=3)
    assert_free_with_the_lease(stage, pushed_s)
    writes = stage.node.writes()
    assert [it.requested_mw for it in writes] == [200_000, 150_000, 300_000]
    late_s = writes[1].at_ns / 1e9 - datetime.fromisoformat(plan["steps"][1]["at"]).timestamp()
    assert 0 <= late_s < 0.5


@pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S], ids=["ahead", "behind"])
def test_node_with_a_wrong_clock_follows_the_operators_and_says_so(
    stage: Stage, make_agent: Callable[..., AgentProcess], clock: WrongClock, off_s: float
) -> None:
    """Reply, metrics and warnings name the offset; the steps are taken when the operator means them."""
    clock.set(off_s)
    agent = make_agent(stage, **clock.environment)
    stage.pods(stage.pod("a"))
    pushed_s = time.monotonic()
    plan = agent.plan("a", (-1, 200), (1, 150), (30 * 60, 120))
    reply = agent.push(plan, lease_s=LEASE_S, sent_at=datetime.now(UTC))
    assert reply.clock_offset_seconds == pytest.approx(off_s, abs=2)
    assert [it.limit_watts for it in reply.applied] == [200]
    [fault] = agent.node().faults
    assert fault.startswith("ClockOffset: the node's clock is 3")
    assert agent.ready() == (True, [])
    assert 'carbonzeus_agent_fault{gpu="",reason="ClockOffset"} 1.0' in agent.metrics()
    assert_free_with_the_lease(stage, pushed_s)
    assert [it.requested_mw for it in stage.node.writes()] == [200_000, 150_000, 300_000]


def test_lost_gpu_is_given_back_when_it_returns(stage: Stage, agent: AgentProcess) -> None:
    """It fell off the bus under a plan, and the lease ended meanwhile."""
    stage.pods(stage.pod("a"))
    pushed_s = time.monotonic()
    agent.push(agent.plan("a", (-1, 150)), lease_s=LEASE_S)
    stage.node.inject(0, Fault.LOST)
    eventually(lambda: agent.ready() == (False, ["GPULost"]), "readiness says so")
    time.sleep(max(0.0, pushed_s + LEASE_S + 0.5 - time.monotonic()))
    stage.node.clear(0)
    eventually(lambda: limits(stage) == [300, 300], "it is given back")
    eventually(lambda: agent.ready() == (True, []), "readiness is back")


def test_hung_gpu_is_given_back_when_it_answers(stage: Stage, agent: AgentProcess) -> None:
    """The call hung while the lease ended."""
    stage.pods(stage.pod("a"))
    pushed_s = time.monotonic()
    agent.push(agent.plan("a", (-1, 150)), lease_s=LEASE_S)
    stage.node.inject(0, Fault.HUNG)
    time.sleep(max(0.0, pushed_s + LEASE_S + 0.5 - time.monotonic()))
    assert agent.ready() == (False, ["Hung"])
    stage.node.clear(0)
    eventually(lambda: limits(stage) == [300, 300], "it is given back")


@pytest.mark.parametrize("fault", [Fault.SET_FAILS, Fault.SET_IGNORED], ids=["refused", "ignored"])
def test_restore_that_the_driver_does_not_take_is_tried_until_it_does(
    stage: Stage, agent: AgentProcess, fault: Fault
) -> None:
    """The lease ends and the prior limit is refused, or silently ignored: not ready, and tried again."""
    stage.pods(stage.pod("a"))
    agent.push(agent.plan("a", (-1, 150)), lease_s=LEASE_S)
    stage.node.inject(0, fault)
    eventually(lambda: agent.ready() == (False, ["LimitNotTaken"]), "readiness says so")
    assert stage.limit_w(0) == 150
    stage.node.clear(0)
    eventually(lambda: limits(stage) == [300, 300], "it is given back")
    eventually(lambda: agent.ready() == (True, []), "readiness is back")


def test_refused_set_is_a_fault_and_leaves_the_gpu_alone(stage: Stage, agent: AgentProcess) -> None:
    """The driver says no: reply and readiness tell its words."""
    stage.pods(stage.pod("a"))
    stage.node.inject(0, Fault.SET_FAILS)
    [applied] = agent.push(agent.plan("a", (-1, 150))).applied
    assert (applied.outcome, applied.limit_watts) == ("Fault", 300)
    assert "Unknown Error" in applied.message
    assert agent.ready() == (False, ["LimitNotTaken"])


def test_driver_that_is_reloaded_past_the_lease_leaves_nothing_limited(stage: Stage, agent: AgentProcess) -> None:
    """A new driver begins at the board's default, and the agent does not limit it again."""
    stage.pods(stage.pod("a"))
    pushed_s = time.monotonic()
    agent.push(agent.plan("a", (-1, 150)), lease_s=LEASE_S)
    stage.node.unload_driver()
    time.sleep(max(0.0, pushed_s + LEASE_S + 0.5 - time.monotonic()))
    stage.node.load_driver()
    eventually(lambda: agent.ready() == (True, []), "the driver is taken up again")
    assert limits(stage) == [300, 300]


def test_end_comes_in_time_though_a_gpu_hangs(stage: Stage, agent: AgentProcess) -> None:
    """SIGTERM: the other GPU is given back at once, the exit status tells that one was not, and the next start gives it back."""
    stage.pods(stage.pod("a", 2))
    agent.push(agent.plan("a", (-1, 150)))
    stage.node.inject(0, Fault.HUNG)
    began_s = time.monotonic()
    assert agent.end() == 1
    assert time.monotonic() - began_s < GRACE_S / 2
    assert limits(stage) == [150, 300]
    stage.node.clear(0)
    agent.start()
    assert limits(stage) == [300, 300]


def spoil(path: Path) -> None:
    """Overwrite a file, and forget what SQLite keeps beside it."""
    path.write_bytes(b"no database at all" * 1000)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
