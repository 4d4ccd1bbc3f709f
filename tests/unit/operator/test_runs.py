"""What the operator keeps in mind of a run beside its report."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from carbonzeus_operator import account as accounts
from carbonzeus_operator.account import Account, Cell, Cursor, JobPod
from carbonzeus_operator.resources.report import (
    CarbonReportSpec,
    CarbonReportStatus,
    CoverageStatus,
    JobReference,
    JobResult,
    ReportState,
)
from carbonzeus_operator.run import LAST_RECORDS, Run, report_key
from carbonzeus_operator.runs import Runs
from carbonzeus_operator.world.picture import Ours
from tests.unit.operator.world import NOON, job

ENDED = NOON + timedelta(hours=2)
POD = JobPod("uid-w-0", "ml/w-0", "NVIDIA A40", 1, started=NOON, ended=ENDED, leader=True)
SETTLED = Account(cursors={"ledger-1": Cursor(7, ENDED + LAST_RECORDS)}, pods=(POD,))


def finished(account: Account, *, written: Account, state: ReportState = ReportState.FINISHED) -> Run:
    """A run whose job ended, its account in mind and as its report has it."""
    ended = replace(job(), finished_at=ENDED, succeeded=True)
    reference = JobReference(api_version="kubeflow.org/v1", kind="PyTorchJob", name="train", uid=ended.uid)
    status = CarbonReportStatus(state=state, ledger=accounts.encode(written))
    report = Ours(report_key(ended), "uid-report", 1, CarbonReportSpec(job_ref=reference), status, {})
    return Run(ended, report_key(ended), report=report, account=account, ledgers={"ledger-1"})


def test_a_run_is_closed_when_its_report_says_the_last_word() -> None:
    """Nothing of it is looked at any more."""
    assert finished(SETTLED, written=SETTLED).closed


def test_a_run_stays_open_until_its_last_settlement_is_written() -> None:
    """The last cell was settled in mind only: a run that closed here would leave its report open for ever."""
    open_still = replace(SETTLED, cells=(Cell(0, 900_000_000, energy_nj=5),))
    assert not finished(SETTLED, written=open_still).closed


def test_a_run_stays_open_while_anything_is_missing() -> None:
    """An unsettled cell, records that are not in, a report that does not say Finished."""
    unsettled = replace(SETTLED, cells=(Cell(0, 900_000_000),))
    late = replace(SETTLED, cursors={"ledger-1": Cursor(6, ENDED)})
    assert not finished(unsettled, written=unsettled).closed
    assert not finished(late, written=late).closed
    assert not finished(SETTLED, written=SETTLED, state=ReportState.ENFORCING).closed


def ended(
    name: str,
    hours: float,
    *,
    profile: str = "a40",
    result: JobResult | None = JobResult.SUCCEEDED,
    measured: float = 1.0,
) -> Run:
    """A run whose report tells how it ended, with so much work [h], of which a share was measured."""
    account = replace(SETTLED, work_us=round(hours * 3.6e9))
    run = finished(account, written=account)
    assert run.report is not None
    assert isinstance(run.report.status, CarbonReportStatus)
    coverage = CoverageStatus(measured_gpu_milliseconds=round(100 * measured), ran_gpu_milliseconds=100)
    status = run.report.status.model_copy(update={"result": result, "coverage": coverage})
    run.report = replace(run.report, status=status)
    run.job = replace(job(name, profile=profile), finished_at=ENDED + timedelta(hours=hours), succeeded=True)
    run.key = report_key(run.job)
    return run


def test_runs_under_one_profile_tell_the_next_how_long_it_may_be() -> None:
    """Those that succeeded and were measured, the oldest first; not those of other workloads, nor those that broke off."""
    known = [
        ended("second", 6),
        ended("first", 5),
        ended("failed", 1, result=JobResult.FAILED),
        ended("deleted", 2, result=None),
        ended("other", 70, profile="bert"),
    ]
    unmeasured = ended("unmeasured", 3, measured=0.5)
    new = Run(job("new"), report_key(job("new")))
    bare = replace(job("bare"), annotations={})
    unnamed = Run(bare, report_key(bare))
    runs = Runs({run.key: run for run in (*known, unmeasured, new, unnamed)})
    views = {view.job.key.name: view for view in runs.views(dict.fromkeys(runs.by_key, ()))}
    assert views["new"].past_work_s == (5 * 3600.0, 6 * 3600.0)
    assert views["bare"].past_work_s == ()


def test_runs_of_a_learned_workload_tell_the_next_how_long_it_may_be() -> None:
    """They name no profile; their reports say which one was learned."""
    runs = []
    for run in (ended("first", 5), Run(job("new"), report_key(job("new")), report=ended("new", 1).report)):
        assert run.report is not None
        assert isinstance(run.report.status, CarbonReportStatus)
        run.report = replace(run.report, status=run.report.status.model_copy(update={"profile": "resnet-1234567890"}))
        run.job = replace(run.job, annotations={"carbonzeus.dev/policy": "gentle"})
        runs.append(run)
    views = Runs({run.key: run for run in runs}).views(dict.fromkeys((run.key for run in runs), ()))
    assert next(view for view in views if view.job.key.name == "new").past_work_s == (5 * 3600.0,)


def test_the_last_record_is_waited_for_beyond_the_whole_second_that_kubernetes_tells() -> None:
    """A pod that ended at 14:00:00.8 reads as ended at 14:00:00: a record up to there is not the last one."""
    first = replace(SETTLED, cursors={"ledger-1": Cursor(6, ENDED + timedelta(milliseconds=500))})
    assert not finished(first, written=first).all_in
    assert finished(SETTLED, written=SETTLED).all_in
