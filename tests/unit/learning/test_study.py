"""The learner's clock: every second in which all workers run is told once, whatever records there are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.account import Span
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.learning.memory import as_text, from_text, next_run
from carbonzeus_operator.learning.study import Study, Workers, ran_s
from carbonzeus_operator.learning.subject import Subject
from carbonzeus_wire import Quality
from tests.unit.learning.records import at, record

SUBJECT = Subject("ml", "resnet:v1", "0123456789abcdef", "NVIDIA A40", 1, 300.0, 150.0)
ONE = Workers(frozenset({"GPU-0"}), "GPU-0")
RUNNING = (Span(at(0)),)


def minutes(study: Study, first: int, last: int, running=RUNNING, **more) -> Study:
    return study.heard([record(60 * n, 60 * n + 60, **more) for n in range(first, last)], ONE, running)


def test_time_is_told_once() -> None:
    """Records that come again say nothing new."""
    study = minutes(Study.begin(SUBJECT), 0, 10)
    assert study.elapsed_s == pytest.approx(600)
    assert study.work_s == pytest.approx(600)
    assert minutes(study, 0, 10).elapsed_s == pytest.approx(600)
    assert study.reference_rate == pytest.approx(20, rel=1e-3)


def test_only_time_in_which_all_workers_run_counts() -> None:
    """Before, between and after, nothing passes; a record across an edge has no speed."""
    running = (Span(at(90), at(300)), Span(at(420)))
    study = minutes(Study.begin(SUBJECT), 0, 10, running)
    assert study.elapsed_s == pytest.approx(210 + 180)


def test_time_without_records_is_judged_by_the_last_limit() -> None:
    """An agent was away for ten minutes while its board was at 150 W: that is slow until somebody knows better."""
    study = minutes(Study.begin(SUBJECT), 0, 10)
    study = minutes(study, 10, 12, limit_watts=150.0, progress=None)
    study = minutes(study, 22, 23)
    assert study.elapsed_s == pytest.approx(23 * 60)
    assert study.work_s == pytest.approx(11 * 60 + 12 * 60 * 0.5**3, rel=0.01)


def test_a_gap_record_is_time_at_the_last_limit() -> None:
    """It tells no limit of its own."""
    study = minutes(Study.begin(SUBJECT), 0, 10)
    study = minutes(study, 10, 11, limit_watts=150.0, progress=None)
    gap = {"quality": Quality.GAP, "energy_millijoules": 0, "progress": None, "limit_watts": None}
    study = minutes(study, 11, 12, **gap)
    assert study.work_s == pytest.approx(10 * 60 + 2 * 60 * 0.5**3, rel=0.01)


def test_whoever_comes_late_takes_the_time_before_for_what_it_was() -> None:
    """Nobody limited the job then; and what the account says of a job that ran under a profile is kept."""
    study = minutes(Study.begin(SUBJECT), 30, 31)
    assert study.elapsed_s == pytest.approx(31 * 60)
    assert study.work_s == pytest.approx(31 * 60)
    late = Study.late(SUBJECT, timelapse=1.0, elapsed_s=1000, work_s=950, until=at(1000))
    assert (late.elapsed_s, late.work_s) == (1000, 950)
    assert late.heard([record(1000, 1060)], ONE, RUNNING).work_s == pytest.approx(1010)


def test_the_first_minutes_after_a_restart_teach_nothing() -> None:
    """All workers started anew: compilation and caches are no speed."""
    study = minutes(Study.begin(SUBJECT), 0, 10, (Span(at(0), at(600)),))
    again = (Span(at(0), at(600)), Span(at(660)))
    slow = minutes(study, 11, 13, again, progress=600.0)
    assert slow.windows == study.windows
    assert minutes(slow, 13, 14, again).windows == study.windows + 1


def test_emulated_time_counts_for_more() -> None:
    """To the learner; outside, a second is a second."""
    study = minutes(Study.begin(SUBJECT, timelapse=20.0), 0, 10)
    assert study.elapsed_s == pytest.approx(600)
    assert study.learner.elapsed_s == pytest.approx(12_000)


def test_what_is_remembered_goes_on_where_it_stopped() -> None:
    """After the same records, an operator that started anew knows what one does that did not."""
    study = minutes(Study.begin(SUBJECT), 0, 20)
    study = minutes(study, 20, 30, limit_watts=275.0, watts=230.0, progress=1188.0)
    again = from_text(as_text(study))
    assert (again.subject, again.until, again.windows) == (study.subject, study.until, study.windows)
    one, other = (minutes(each, 30, 40) for each in (study, again))
    assert other.work_s == pytest.approx(one.work_s, rel=1e-4)
    assert other.elapsed_s == one.elapsed_s
    assert other.learner.known == one.learner.known


def test_another_run_of_the_workload_begins_with_the_curve_and_no_time() -> None:
    """Runs and windows are counted on; of another GPU nothing is taken over."""
    study = minutes(Study.begin(SUBJECT), 0, 20)
    fresh = next_run(as_text(study), SUBJECT)
    assert (fresh.elapsed_s, fresh.runs, fresh.windows, fresh.windows_before) == (0, 2, 0, study.windows)
    with pytest.raises(InvalidSpec, match="another GPU"):
        next_run(as_text(study), replace(SUBJECT, product="NVIDIA H100"))
    with pytest.raises(InvalidSpec, match="another GPU"):
        next_run(as_text(study), replace(SUBJECT, counts=False))


@given(
    st.text(max_size=200)
    | st.builds(json.dumps, st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists))
)
def test_a_damaged_memory_is_said_to_be_one(text: str) -> None:
    """Never a crash: it is learned anew."""
    with pytest.raises(InvalidSpec, match="learn anew"):
        from_text(text)


@pytest.mark.parametrize("key", ["subject", "learner", "windows", "clocks", "runs", "curveVersion"])
@pytest.mark.parametrize("value", [None, [], "x", [1, 2, 3]])
def test_a_memory_with_a_wrong_part_is_said_to_be_damaged(key: str, value: object) -> None:
    """Whichever part it is."""
    document = json.loads(as_text(minutes(Study.begin(SUBJECT), 0, 10)))
    document[key] = value
    with pytest.raises(InvalidSpec, match="learn anew"):
        from_text(json.dumps(document))


def test_profiles_of_runs_have_one_name() -> None:
    """Whatever people call the workload, its name can be one of an object."""
    assert SUBJECT.profile.startswith("resnet-v1-")
    assert SUBJECT.profile == replace(SUBJECT, reference_limit_w=250.0).profile
    others = (replace(SUBJECT, gpus=2), replace(SUBJECT, counts=False), replace(SUBJECT, product="NVIDIA H100"))
    assert len({SUBJECT.profile, *(other.profile for other in others)}) == 4
    odd = replace(SUBJECT, workload="--ÄÖ__" * 40)
    assert odd.profile.startswith("workload-")
    assert len(replace(SUBJECT, workload="x" * 300).profile) <= 63


def test_how_long_all_workers_ran() -> None:
    """Of any stretch."""
    running = (Span(at(10), at(20)), Span(at(30)))
    assert ran_s(running, at(0), at(40)) == 20
    assert ran_s(running, None, at(15)) == 5
    assert ran_s((), None, at(15)) == 0


def test_how_well_steps_are_known_comes_with_the_record() -> None:
    """From an agent that does not tell it is a whole step; clocks have none."""

    def last(subject: Subject, **more) -> float:
        study = minutes(Study.begin(subject), 0, 5, **more)
        assert study.learner.last is not None
        return study.learner.last.grain

    assert last(SUBJECT, progress_grain=0.25) == 0.25
    assert last(SUBJECT, progress_grain=0.0) == 0.0
    assert last(SUBJECT) == 1.0
    assert last(replace(SUBJECT, counts=False), progress=None) == 0.0
