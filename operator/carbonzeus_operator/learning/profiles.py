"""What a study leaves behind: the PowerProfile that the next run of its workload begins with, and that people read. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.learning import memory
from carbonzeus_operator.learning.study import Study
from carbonzeus_operator.learning.telling import uncertainty_of
from carbonzeus_operator.plan.estimator_ranges import ranges
from carbonzeus_operator.resources.profile import (
    MeasuredLimit,
    PowerProfileSpec,
    PowerProfileStatus,
    ProfilePoint,
    ProfileSource,
)
from carbonzeus_operator.resources.quantity import format_decimal

R_DIGITS = 4
NEWS_R = 0.001
"""A point that moved by less is no news."""


def spec_of(study: Study) -> PowerProfileSpec | None:
    """What plans could be made with; None while there is nothing."""
    curve = study.learner.curve
    if curve is None:
        return None
    subject = study.subject
    return PowerProfileSpec(
        gpu_product=subject.product,
        gpu_count=subject.gpus,
        reference_limit_watts=format_decimal(subject.reference_limit_w),
        points=tuple(
            ProfilePoint(
                limit_watts=format_decimal(point.limit_w),
                average_watts=format_decimal(point.average_w, 1),
                throughput=format_decimal(point.r, R_DIGITS),
            )
            for point in curve.points
        ),
        source=ProfileSource.MEASURED,
        workload=subject.workload or None,
        fingerprint=subject.fingerprint or None,
    )


def status_of(study: Study, before: PowerProfileStatus, taught_at: datetime) -> PowerProfileStatus:
    """What the operator makes of the curve stays as it is."""
    return before.model_copy(
        update={
            "windows": study.windows_before + study.windows,
            "runs": study.runs,
            "version": study.version + study.learner.changes,
            "uncertainty": uncertainty_of(study),
            "last_run_time": taught_at.replace(microsecond=0),
            "measured": measured_limits(study),
            "state": memory.as_text(study),
        }
    )


def measured_limits(study: Study) -> tuple[MeasuredLimit, ...]:
    """Every limit with windows, by rising limit, planned with or not."""
    return tuple(
        MeasuredLimit(
            limit_watts=format_decimal(each.limit_w),
            average_watts=format_decimal(level.average_w, 1),
            throughput=format_decimal(each.r, R_DIGITS),
            throughput_low=format_decimal(each.low, R_DIGITS),
            throughput_high=format_decimal(each.high, R_DIGITS),
            seconds=round(level.seconds),
        )
        for each in ranges(study.learner)
        if (level := study.learner.levels.get(each.limit_w)) is not None and level.seconds > 0
    )


def is_news(spec: PowerProfileSpec, kept: PowerProfileSpec) -> bool:
    """Whether the points say something else than those that are kept."""
    before, after = ({one.limit_w: one.throughput for one in each.to_points()} for each in (kept, spec))
    return before.keys() != after.keys() or any(abs(after[limit] - before[limit]) > NEWS_R for limit in after)


def knows_more(study: Study, kept: PowerProfileStatus) -> bool:
    """Whether it may take the place of what is kept: another run of the workload may have written it, and know more."""
    if kept.state is None:
        return True
    try:
        other = memory.from_text(kept.state)
    except InvalidSpec:
        return True
    ours_s, theirs_s = (sum(level.seconds for level in each.learner.levels.values()) for each in (study, other))
    return study.subject != other.subject or ours_s >= theirs_s


def is_expired(spec: PowerProfileSpec, status: PowerProfileStatus, retention: timedelta, now: datetime) -> bool:
    """Whether a measured profile was not taught for so long that it is no use to anybody."""
    taught_at = status.last_run_time
    return spec.source is ProfileSource.MEASURED and taught_at is not None and now - taught_at > retention
