"""Jobs of known length: when to end, and what is wanted until then, against a linear program for every end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import highspy
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.mixed import Group, JobCurve, Overhead
from carbonzeus_operator.plan.outlook import Outlook, look_ahead
from carbonzeus_operator.plan.spending import Task, for_known, for_unknown
from carbonzeus_operator.plan.survival import Unknown

Floats = NDArray[np.float64]
HOUR_S = 3600.0
NOW = datetime.fromisoformat("2026-11-24T00:00:00+00:00")


def laid_out(parts: Sequence[tuple[float, float | None]]) -> Outlook:
    """Slots of (seconds, intensity), None for a gap."""
    start, made = NOW, []
    for seconds, value in parts:
        end = start + timedelta(seconds=seconds)
        if value is not None:
            made.append(Interval(start, end, value))
        start = end
    return look_ahead(made, NOW, start - NOW)


def task_of(curve: Curve, slowdown: float, credit_s: float, overhead: Overhead | None = None) -> Task:
    job = JobCurve.of({"GPU": Group(curve, 1)}, overhead or Overhead())
    return Task(job, 1 / (1 + slowdown), credit_s, job.best_held_r(1 / (1 + slowdown)))


def outlook_of(values: Sequence[float]) -> Outlook:
    step = timedelta(hours=1)
    hours = [Interval(NOW + step * i, NOW + step * (i + 1), value) for i, value in enumerate(values)]
    return look_ahead(hours, NOW, step * len(values))


Choices = list[tuple[float, float]]


def choices(task: Task, outlook: Outlook, slot: int) -> Choices:
    """(r, watts) that may be mixed in a slot: held in a gap, at full speed where burning costs nothing."""
    job = task.curve
    if outlook.gap[slot]:
        return [(task.hold_r, float(task.hull_watts(np.array([task.hold_r]))[0]))]
    open_ = outlook.gco2_per_kwh[slot] > 0
    return [(float(job.r[vertex]), float(job.watts[vertex])) for vertex in (job.hull if open_ else job.hull[-1:])]


def cost_of(task: Task, outlook: Outlook, wanted: Floats, work_s: float) -> float:
    """Watt-seconds times intensity until the work is done."""
    done = np.cumsum(wanted * outlook.seconds)
    share = np.clip(1 - (done - work_s) / (wanted * outlook.seconds), 0, 1)
    return float((task.hull_watts(wanted) * outlook.seconds * share) @ outlook.gco2_per_kwh)


def optimum(task: Task, outlook: Outlook, work_s: float) -> float:
    """The least cost over all ends: in each slot time at each choice, the last slot may be left."""
    best = np.inf
    for slots in range(1, len(outlook.seconds) + 1):
        columns = [(slot, choice) for slot in range(slots) for choice in choices(task, outlook, slot)]
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(columns), 2 * slots + 1
        hours = outlook.seconds[:slots] / HOUR_S
        model.col_cost_ = np.array([outlook.gco2_per_kwh[slot] * watts for slot, (_, watts) in columns])
        model.col_lower_, model.col_upper_ = np.zeros(len(columns)), np.full(len(columns), np.inf)
        shortest = hours.copy()
        shortest[-1] = 0.0
        owed = np.full(slots, -task.credit_s / HOUR_S)
        model.row_lower_ = np.concatenate((shortest, owed, [work_s / HOUR_S]))
        model.row_upper_ = np.concatenate((hours, np.full(slots, np.inf), [work_s / HOUR_S]))
        rows = [[slot, *range(slots + slot, 2 * slots), 2 * slots] for slot, _ in columns]
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = np.cumsum([0, *(len(column) for column in rows)])
        model.a_matrix_.index_ = np.concatenate(rows)
        model.a_matrix_.value_ = np.concatenate(
            [[1.0, *[r - task.floor_r] * (slots - slot), r] for slot, (r, _) in columns]
        )
        solver = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.silent()
        solver.passModel(model)
        solver.run()
        if solver.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            best = min(best, solver.getInfo().objective_function_value * HOUR_S)
    return best


@settings(max_examples=settings().max_examples // 2)  # many linear programs each
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from([3600.0, 3600.0, 1800.0, 7200.0]),
            st.floats(50, 900) | st.sampled_from([50.0, 100.0, 300.0, 900.0, 0.0, -20.0, None]),
        ),
        min_size=14,
        max_size=14,
    ),
    slowdown=st.sampled_from([0.01, 0.03, 0.1, 0.3]),
    credit_s=st.sampled_from([0.0, 60.0, 900.0]),
    hours=st.floats(0.5, 8),
    host_w=st.sampled_from([0.0, 200.0]),
    minimum_w=st.sampled_from([150.0, 240.0, 300.0]),
)
@example([(3600.0, 50.0)] * 6 + [(3600.0, 422.0)] + [(3600.0, 50.0)] * 7, 0.1, 0.0, 8.0, 0.0, 150.0)
def test_known_length_costs_what_the_best_end_costs(
    parts: list[tuple[float, float | None]],
    slowdown: float,
    credit_s: float,
    hours: float,
    host_w: float,
    minimum_w: float,
) -> None:
    """Exact, where all credit is spent and where an earlier end is better; with gaps, and curves that allow little."""
    points = [Point(150, 144.4, 0.608), Point(200, 179.2, 0.936), Point(250, 216.2, 0.983), Point(300, 244.3, 1.0)]
    curve = Curve.from_points(points, 300, minimum_w=minimum_w)
    task = task_of(curve, slowdown, credit_s, Overhead(host_w_per_gpu=host_w))
    whole, work_s = laid_out(parts), hours * HOUR_S
    outlook, wanted = for_known(task, whole, work_s)
    assert np.all(np.cumsum((wanted - task.floor_r) * outlook.seconds) >= -credit_s - 1e-6)
    if outlook.end_s < whole.end_s:
        best = optimum(task, whole, work_s)
        assert cost_of(task, outlook, wanted, work_s) == pytest.approx(best, rel=1.1e-6, abs=1e-3)


def test_job_ends_before_a_dirty_last_hour(a40: Curve) -> None:
    """Credit that would carry the job into it is left unspent."""
    task = task_of(a40, 0.1, 0.0)
    outlook, _ = for_known(task, outlook_of([200] * 10 + [2_000] * 10), 9.5 * HOUR_S)
    assert outlook.end_s == 10 * HOUR_S


def test_job_ends_when_it_is_done_even_where_burning_pays(a40: Curve) -> None:
    """A curve that allows no slower run leaves no work for the hours of negative intensity."""
    pinned = Curve.from_points([Point(p.limit_w, p.average_w, p.r) for p in a40.points], 300, minimum_w=300)
    outlook, _ = for_known(task_of(pinned, 0.1, 900.0), outlook_of([200, 200, -50, -50]), 2 * HOUR_S)
    assert outlook.end_s == pytest.approx(2 * HOUR_S)


def test_job_takes_its_time_where_the_end_is_clean(a40: Curve) -> None:
    """Then slowing down pays even beyond the most efficient limit."""
    task = task_of(a40, 0.1, 0.0)
    outlook, wanted = for_known(task, outlook_of([400] * 10 + [50] * 10), 9.5 * HOUR_S)
    assert outlook.end_s > 10.4 * HOUR_S
    assert wanted.min() < a40.at(200)[1]


def test_forecast_shorter_than_the_job_is_planned_to_its_end(a40: Curve) -> None:
    """The outlook is all there is; the end is not tried earlier."""
    task = task_of(a40, 0.1, 60.0)
    outlook, _ = for_known(task, outlook_of([200, 300, 400]), 20 * HOUR_S)
    assert outlook.end_s == 3 * HOUR_S


def test_nothing_is_wanted_of_an_empty_outlook(a40: Curve, hourly: Callable[..., list[Interval]]) -> None:
    """Without a forecast there are no slots."""
    task, empty = task_of(a40, 0.1, 60.0), look_ahead([], NOW)
    assert for_known(task, empty, HOUR_S)[1].size == 0
    assert for_known(task, outlook_of([200]), 0.0)[0].end_s <= 60 * 1.1 + 1e-6
    assert for_unknown(task, empty, Unknown()).size == 0
