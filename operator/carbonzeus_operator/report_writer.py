"""Writing CarbonReports: created when a run begins, their status replaced only where it changed, never over another's write."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from carbonzeus_operator import kube, reports
from carbonzeus_operator.decide import JobDecision
from carbonzeus_operator.errors import CarbonzeusError, Conflict, InvalidSpec
from carbonzeus_operator.metrics import Metrics
from carbonzeus_operator.resources.report import CARBON_REPORT, CarbonReportStatus
from carbonzeus_operator.revisions import closed_and_revised
from carbonzeus_operator.run import Run
from carbonzeus_operator.world.picture import Report, ours
from carbonzeus_operator.world.snapshot import Rules, Snapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReportWriter:
    """Writes the reports of one round."""

    connection: kube.Kube
    metrics: Metrics

    async def write(self, run: Run, decision: JobDecision, snapshot: Snapshot, rules: Rules) -> None:
        """Writes what is new of a run, and an Event on its job where something turned. A failure is logged."""
        try:
            await self._write_report(run, decision, snapshot, rules)
        except Conflict:
            await self._reload(run)
        except InvalidSpec as error:
            log.error("CarbonReport %s cannot be written: %s", run.key, error)  # noqa: TRY400 - the message says it all
        except CarbonzeusError as error:
            log.warning("CarbonReport %s was not written this time: %s", run.key, error)

    async def write_revised(self, runs: Iterable[Run], snapshot: Snapshot) -> None:
        """Writes the closed reports whose accounts were settled again. What cannot be written is tried again."""
        for run, account, what_if in closed_and_revised(runs, snapshot.grid, snapshot.now):
            report = run.report
            if report is None or not isinstance(report.status, CarbonReportStatus):
                continue
            status = reports.revised_status(run, report.status, account, what_if, snapshot.now)
            try:
                if await self._replace(run, report, status):
                    run.account, run.what_if = account, what_if
            except Conflict:
                await self._reload(run)
            except CarbonzeusError as error:
                log.warning("CarbonReport %s was not written this time: %s", run.key, error)

    async def _replace(self, run: Run, report: Report, status: CarbonReportStatus) -> bool:
        """Writes a status; False where the report is gone."""
        body: dict[str, Any] = {**report.raw, "status": status.as_json()}
        written = await self.connection.replace(kube.CARBONREPORT, body, subresource="status")
        run.report = None if written is None else ours(CARBON_REPORT, written)
        self.metrics.status_writes.inc(written is not None)
        return written is not None

    async def _write_report(self, run: Run, decision: JobDecision, snapshot: Snapshot, rules: Rules) -> None:
        if run.problem is not None:
            log.warning("CarbonReport %s is left alone: %s", run.key, run.problem)
            return
        if run.report is None:
            if run.job.finished_at is not None:
                return
            created = await self.connection.create(kube.CARBONREPORT, reports.new_report(run), run.key.namespace)
            run.report = ours(CARBON_REPORT, created)
        before = run.report.status
        status = reports.status_of(run, decision, snapshot, rules)
        if isinstance(before, CarbonReportStatus) and before == status:
            return
        if not await self._replace(run, run.report, status):
            return
        old = before.conditions if isinstance(before, CarbonReportStatus) else ()
        for event in reports.events_of(run.job, old, status.conditions, snapshot.now):
            await self._emit(event, run.key.namespace)

    async def _reload(self, run: Run) -> None:
        """Somebody wrote the report in between: its ledger is what counts, and the agents still have the records."""
        raw = await self.connection.get(kube.CARBONREPORT, run.key.name, run.key.namespace)
        if raw is None:
            run.report = None
            return
        log.info("CarbonReport %s was written by somebody else: reading it again", run.key)
        run.load(ours(CARBON_REPORT, raw))

    async def _emit(self, event: dict[str, Any], namespace: str) -> None:
        try:
            await self.connection.create(kube.EVENT, event, namespace)
        except CarbonzeusError as error:
            log.info("an Event could not be written: %s", error)
