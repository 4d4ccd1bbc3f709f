"""The runs of jobs that are accounted for: found in the cluster's jobs and in the reports of those that are gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.plan.survival import PAST_JOBS
from carbonzeus_operator.resources.annotations import POLICY, PROFILE, policy_of
from carbonzeus_operator.resources.report import CarbonReportSpec, CarbonReportStatus
from carbonzeus_operator.run import Run, report_key
from carbonzeus_operator.world.objects import Job, Key, Pod
from carbonzeus_operator.world.picture import Picture, Report
from carbonzeus_operator.world.snapshot import JobView


@dataclass(slots=True)
class Runs:
    """All runs, by the key of their report."""

    by_key: dict[Key, Run] = field(default_factory=dict)

    def refresh(self, picture: Picture, now: datetime) -> None:
        """Brings in new jobs and reports, and drops runs whose report was deleted after the job was gone."""
        jobs = {job.uid: job for job in picture.jobs.objects.values()}
        for job in jobs.values():
            self._see_job(job, picture)
        for key, report in picture.reports.objects.items():
            if not isinstance(report.spec, InvalidSpec):
                self._see_report(key, report, report.spec, jobs, now)
        for key in [key for key, run in self.by_key.items() if run.report is not None]:
            if key not in picture.reports.objects and self.by_key[key].job.uid not in jobs:
                del self.by_key[key]

    def _see_job(self, job: Job, picture: Picture) -> None:
        key = report_key(job)
        if key in self.by_key:
            self.by_key[key].job = job
            return
        namespace = picture.namespaces.objects.get(Key("", job.key.namespace))
        wanted = policy_of(job.annotations, namespace.annotations if namespace else {}) is not None
        if key in picture.reports.objects or (wanted and job.finished_at is None):
            self.by_key[key] = Run(job, key)

    def _see_report(
        self, key: Key, report: Report, spec: CarbonReportSpec, jobs: Mapping[str, Job], now: datetime
    ) -> None:
        run = self.by_key.get(key)
        if run is None:
            run = self.by_key[key] = Run(_gone(key, report, spec, now), key)
        if run.report is None:
            run.load(report)
        if run.job.uid not in jobs and run.job.finished_at is None:
            run.job = _gone(key, report, spec, now)

    def views(self, pods: Mapping[Key, Iterable[Pod]]) -> tuple[JobView, ...]:
        """All that are not closed, for the decision, each with what earlier runs of its workload tell."""
        open_runs = {key: run for key, run in self.by_key.items() if not run.closed}
        # Of the many reports that are kept, only those count that somebody asks for.
        past: dict[tuple[str, str], list[tuple[datetime, float]]] = {
            run.workload: [] for run in open_runs.values() if run.workload is not None and run.job.finished_at is None
        }
        for run in self.by_key.values():
            finished = run.job.finished_at
            if finished is not None and run.workload in past and (work_s := run.whole_work_s) is not None:
                past[run.workload].append((finished, work_s))
        known = {workload: tuple(work_s for _, work_s in sorted(runs)[-PAST_JOBS:]) for workload, runs in past.items()}

        def before(run: Run) -> tuple[float, ...]:
            return known.get(run.workload, ()) if run.workload is not None else ()

        return tuple(run.view(pods[key], before(run)) for key, run in open_runs.items())

    def pods(self, picture: Picture) -> dict[Key, list[Pod]]:
        """The pods of each run."""
        by_job: dict[str, list[Pod]] = {}
        for pod in picture.pods.objects.values():
            by_job.setdefault(pod.job_uid, []).append(pod)
        return {key: by_job.get(run.job.uid, []) for key, run in self.by_key.items()}


def _gone(key: Key, report: Report, spec: CarbonReportSpec, now: datetime) -> Job:
    """A job that is not there any more, as far as its report tells."""
    status = report.status if isinstance(report.status, CarbonReportStatus) else CarbonReportStatus()
    named = {POLICY: status.policy, PROFILE: status.profile}
    return Job(
        key=Key(key.namespace, spec.job_ref.name),
        uid=spec.job_ref.uid,
        api_version=spec.job_ref.api_version,
        kind=spec.job_ref.kind,
        annotations={key: value for key, value in named.items() if value is not None},
        workers=0,
        suspended=False,
        finished_at=status.completion_time or now,
        succeeded=False,
        created_at=None,
    )
