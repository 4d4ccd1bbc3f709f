"""Settling once more: which data is asked for, and what is written where."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from carbonzeus_operator import account as accounts
from carbonzeus_operator import kube
from carbonzeus_operator.account import Account, Product, Terms
from carbonzeus_operator.errors import Conflict, Unavailable
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.grid.view import GridView
from carbonzeus_operator.metrics import Metrics
from carbonzeus_operator.report_writer import ReportWriter
from carbonzeus_operator.resources.base import Condition
from carbonzeus_operator.resources.report import (
    CARBON_REPORT,
    CarbonReportSpec,
    CarbonReportStatus,
    JobReference,
    JobResult,
    ReportState,
)
from carbonzeus_operator.revisions import MOST, closed_and_revised, revised, wanted_past
from carbonzeus_operator.run import LAST_RECORDS, Run, report_key
from carbonzeus_operator.world.picture import ours
from carbonzeus_operator.world.snapshot import Snapshot
from carbonzeus_wire import EnergyRecord, Quality
from tests.unit.account.books import HALF
from tests.unit.operator.world import NOON, job

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MIDNIGHT = NOON - 12 * HOUR
ENDED = NOON + 2 * HOUR
KEY = ("US-CAL-CISO", Signal.AVERAGE)
TERMS = Terms(products={"NVIDIA A40": Product(300, HALF)})
WEEK = MIDNIGHT + 8 * DAY + HOUR
"""The day of the job is a week old."""
SPAN = (MIDNIGHT, MIDNIGHT + DAY)


def actual(grams: float, asked: datetime, *, zone: str = KEY[0]) -> Series:
    intervals = tuple(Interval(MIDNIGHT + n * HOUR, MIDNIGHT + (n + 1) * HOUR, grams) for n in range(24))
    return Series(zone, KEY[1], Factor.LIFECYCLE, "Sample", asked, intervals)


def ended(name: str = "train", *, grid: Series | None = None, what_if: bool = False) -> Run:
    """A run of two hours whose job ended and whose report says the last word: a loss of 65 g against 25 g."""
    run = Run(replace(job(name), finished_at=ENDED, succeeded=True), report_key(job(name)), terms=TERMS)
    pod = accounts.JobPod("uid-w-0", "ml/w-0", "NVIDIA A40", 1, NOON, ended=ENDED, leader=True)
    record = EnergyRecord(
        seq=1,
        gpu_uuid="GPU-0",
        pod_uid=pod.uid,
        pod=pod.name,
        start=NOON,
        end=ENDED,
        limit_watts=200,
        energy_millijoules=150 * 7200 * 1000,
        quality=Quality.COUNTER,
    )
    last = EnergyRecord(
        seq=2, gpu_uuid="GPU-0", start=ENDED, end=ENDED + LAST_RECORDS, energy_millijoules=0, quality=Quality.COUNTER
    )
    grid = grid or actual(100, ENDED)
    account = accounts.observe(Account(), (replace(pod, ended=None),), running_since=NOON, now=NOON)
    account = accounts.observe(account, (pod,), running_since=None, now=ENDED)
    account = accounts.fold(account, "ledger-1", (record, last), TERMS, series=[grid])
    run.account = accounts.settle(account, actual=grid, forecast=None, terms=TERMS, until=ENDED, now=ENDED)
    run.what_if = run.account if what_if else None
    run.ledgers = {"ledger-1"}
    condition = Condition(type="Accepted", status="True", reason="Finished", last_transition_time=ENDED)
    status = CarbonReportStatus(
        state=ReportState.FINISHED,
        result=JobResult.SUCCEEDED,
        completion_time=ENDED,
        policy="gentle",
        limit="200 W",
        energy="300 Wh",
        conditions=(condition,),
        realised=accounts.statement(run.account, TERMS),
        planned=accounts.statement(run.account, TERMS, planned=True) if what_if else None,
        settlements=accounts.settlement_statements(run.account),
        ledger=accounts.encode(run.account),
        planned_ledger=accounts.encode(run.account) if what_if else None,
    )
    reference = JobReference(api_version="kubeflow.org/v1", kind="PyTorchJob", name=name, uid=run.job.uid)
    raw = {
        "metadata": {"name": run.key.name, "namespace": run.key.namespace, "uid": name, "resourceVersion": "1"},
        "spec": CarbonReportSpec(job_ref=reference).as_json(),
        "status": status.as_json(),
    }
    run.report = ours(CARBON_REPORT, raw)
    return run


def revision(grams: float = 110, asked: datetime = WEEK, zone: str = KEY[0]) -> dict[tuple[str, Signal], GridView]:
    past = actual(grams, asked, zone=zone)
    return {(zone, KEY[1]): GridView(None, None, None, None, past=past, past_span=SPAN)}


@dataclass
class Connection:
    """The API server, as far as reports are replaced and read."""

    written: list[dict[str, Any]] = field(default_factory=list)
    failing: Exception | None = None
    there: dict[str, Any] | None = None

    async def replace(self, kind: kube.Kind, body: dict[str, Any], subresource: str) -> dict[str, Any]:
        assert (kind, subresource) == (kube.CARBONREPORT, "status")
        if self.failing is not None:
            raise self.failing
        self.written.append(json.loads(json.dumps(body)))
        return self.written[-1]

    async def get(self, *_: Any) -> dict[str, Any] | None:
        return self.there


@pytest.fixture
def connection() -> Connection:
    return Connection()


async def write(
    connection: Connection, runs: list[Run], grid: dict[tuple[str, Signal], GridView], now: datetime
) -> None:
    writer = ReportWriter(connection, Metrics())  # type: ignore[arg-type]
    await writer.write_revised(runs, Snapshot(now, grid=grid))


def test_a_closed_run_has_nothing_to_do_until_its_day_is_a_week_old() -> None:
    """It is closed, and not looked at: no data is asked for, and no account is settled."""
    run = ended()
    assert run.closed
    assert not run.is_due(WEEK - 2 * HOUR)
    assert wanted_past([run], WEEK - 2 * HOUR) == {}
    assert revised(run, revision(), WEEK - 2 * HOUR) == (run.account, None)


def test_the_days_that_are_old_enough_are_asked_for() -> None:
    """One stretch a zone, signal and stage for all runs together; the one that is longest overdue first."""
    first, second = ended("first"), ended("second")
    assert wanted_past([first, second], WEEK) == {KEY: [SPAN]}
    second.account = accounts.resettle(second.account, actual(110, WEEK), SPAN)
    assert wanted_past([first, second], WEEK) == {KEY: [SPAN]}
    assert wanted_past([second], WEEK) == {}
    month = MIDNIGHT + DAY + accounts.AGES[1]
    assert wanted_past([first, second], month) == {KEY: [SPAN, SPAN]}


def test_recommended_limits_are_revised_too() -> None:
    """What is due of the account of what would have been is asked for, and settled again, like that of what was."""
    run = ended(what_if=True)
    assert run.what_if is not None
    run.account = accounts.resettle(run.account, actual(110, WEEK), SPAN)
    assert wanted_past([run], WEEK) == {KEY: [SPAN]}
    _, what_if = revised(run, revision(), WEEK)
    assert what_if == run.account


def test_a_run_whose_account_cannot_be_read_asks_for_nothing() -> None:
    """Its report is left alone."""
    run = ended()
    run.problem = "somebody edited it"
    assert wanted_past([run], WEEK) == {}


async def test_a_closed_report_is_written_once_with_its_revised_figures(connection: Connection) -> None:
    """Figures, settlements and the ledger change; what was decided and said of the job stays; then there is peace."""
    run = ended()
    assert run.report is not None
    before = run.report.status
    assert isinstance(before, CarbonReportStatus)
    for _ in range(3):
        await write(connection, [run], revision(), WEEK)
    (body,) = connection.written
    status = body["status"]
    assert status["carbon"] == "33.0 g"
    assert status["realised"]["carbonMicrograms"] == 33_000_000
    assert [(one["at"], one["carbonMicrograms"]) for one in status["settlements"]] == [
        ("First", 30_000_000),
        ("7d", 33_000_000),
    ]
    kept = ("state", "result", "policy", "limit", "energy", "conditions")
    assert {name: status[name] for name in kept} == {name: before.as_json()[name] for name in kept}
    assert run.closed
    assert not run.is_due(WEEK)


async def test_a_closed_report_without_a_revision_is_left_alone(connection: Connection) -> None:
    """Of another zone, or of a time at which the day was too young."""
    run = ended()
    await write(connection, [run], revision(zone="DE"), WEEK)
    await write(connection, [run], revision(asked=WEEK - 2 * HOUR), WEEK)
    await write(connection, [run], {KEY: GridView(None, None, None, None)}, WEEK)
    assert connection.written == []


async def test_a_report_that_cannot_be_written_is_tried_again(connection: Connection) -> None:
    """The account in mind stays as the report has it: nothing is counted twice when it goes through at last."""
    run = ended()
    before = run.account
    connection.failing = Unavailable("the API server is away")
    await write(connection, [run], revision(), WEEK)
    assert run.account is before
    connection.failing = None
    await write(connection, [run], revision(), WEEK)
    assert connection.written[0]["status"]["realised"]["carbonMicrograms"] == 33_000_000


async def test_a_report_that_somebody_else_wrote_is_read_again(connection: Connection) -> None:
    """Another leader has settled it already: its account counts, and there is nothing left to do."""
    run, other = ended(), ended()
    await write(connection, [other], revision(), WEEK)
    connection.there = connection.written.pop()
    connection.failing = Conflict("written by somebody else")
    await write(connection, [run], revision(), WEEK)
    connection.failing = None
    await write(connection, [run], revision(), WEEK)
    assert connection.written == []
    assert run.account == other.account


async def test_a_policy_and_a_curve_that_are_gone_change_no_figure(connection: Connection) -> None:
    """After a restart, long after the job: baseline, best constant limit and uncertainty are those of the curve of then."""
    run = ended()
    fresh = Run(run.job, run.key)
    assert run.report is not None
    fresh.load(run.report)
    fresh.terms = Terms(products={"NVIDIA A40": Product(300)})
    await write(connection, [fresh], revision(), WEEK)
    await write(connection, [run], revision(), WEEK)
    without, with_curve = connection.written
    assert without["status"]["realised"] == with_curve["status"]["realised"]
    assert without["status"]["realised"]["savedUncertainty"] == "2%"


async def test_few_closed_reports_are_written_in_one_round(connection: Connection) -> None:
    """The others have their turn in the next rounds."""
    runs = [ended(f"train-{number}") for number in range(MOST + 3)]
    await write(connection, runs, revision(), WEEK)
    assert len(connection.written) == MOST
    await write(connection, runs, revision(), WEEK)
    assert len(connection.written) == MOST + 3


def test_an_open_run_is_not_written_apart() -> None:
    """Its report is written with all the rest of it."""
    run = ended()
    run.job = replace(run.job, finished_at=None)
    assert list(closed_and_revised([run], revision(), WEEK)) == []
    account, _ = revised(run, revision(), WEEK)
    assert account.settlements[1].energy_nj == account.settled.energy_nj


def test_a_closed_run_is_not_written_out_to_see_that_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of them are kept for months, and each is looked at several times a round."""
    run = ended()
    encode: Callable[[Account], object] = accounts.encode
    calls: list[Account] = []

    def counted(account: Account) -> object:
        calls.append(account)
        return encode(account)

    monkeypatch.setattr(accounts, "encode", counted)
    for _ in range(5):
        run.observe((), {}, ENDED + DAY)
        assert run.closed
        assert not run.is_due(ENDED + DAY)
    assert len(calls) == 1
