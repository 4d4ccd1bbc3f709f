"""Weights for jobs whose end nobody knows."""

from __future__ import annotations

import numpy as np
import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.plan.survival import Unknown, weights

HOUR_S = 3600.0
EDGES_S = np.array([0.0, 3600.0, 7200.0, 10_800.0])
INTENSITY = np.array([100.0, 200.0, 400.0])


def alive(length: Unknown, hours: float) -> float:
    return float(length.alive(np.array([hours * HOUR_S]))[0])


def test_unknown_length_fades() -> None:
    """By the probability that the job is still there."""
    edges = Unknown(7200).alive(EDGES_S)
    assert edges == pytest.approx(np.exp(-np.arange(4) / 2))
    assert weights(edges, INTENSITY, 250.0).alive == pytest.approx((edges[:-1] + edges[1:]) / 2)


def test_work_left_undone_costs_what_the_end_costs() -> None:
    """On a flat grid that is the intensity times the probability that the end is still to come."""
    weighed = weights(Unknown(7200).alive(EDGES_S), np.full(3, 300.0), 300.0)
    assert weighed.ending == pytest.approx(300 * weighed.alive)


def test_job_is_expected_to_end_where_earlier_ones_ended() -> None:
    """Sure before, unlikely after, and never quite gone: one vote is for a job that ends at random."""
    length = Unknown(past_work_s=(20 * HOUR_S,) * 9)
    assert alive(length, 15) > 0.9
    assert 0.4 < alive(length, 20) < 0.6
    assert 0 < alive(length, 30) < 0.05


def test_job_that_outlasts_earlier_ones_ends_at_random() -> None:
    """What it has worked rules them out."""
    length = Unknown(worked_s=60 * HOUR_S, past_work_s=(20 * HOUR_S,) * 9)
    assert alive(length, 24) == pytest.approx(np.exp(-1), rel=0.01)


def test_job_older_than_any_expectation_is_still_expected_to_go_on() -> None:
    """Years after all votes are spent."""
    length = Unknown(worked_s=1e9, past_work_s=(HOUR_S,))
    assert 0 < alive(length, 1) <= 1


def test_chance_of_being_there_never_rises() -> None:
    """Whatever the history, from 1 down."""
    length = Unknown(worked_s=5 * HOUR_S, past_work_s=(HOUR_S, 6 * HOUR_S, 6.5 * HOUR_S, 70 * HOUR_S))
    chances = length.alive(np.linspace(0, 100, 500) * HOUR_S)
    assert chances[0] == pytest.approx(1)
    assert np.all(np.diff(chances) <= 0)


def test_slow_job_is_there_for_longer() -> None:
    """Lengths are work; at half the pace it takes twice the time."""
    length = Unknown(past_work_s=(20 * HOUR_S,))
    at_s = np.array([10.0, 20.0]) * HOUR_S
    assert length.alive(2 * at_s, pace=0.5) == pytest.approx(length.alive(at_s))


@pytest.mark.parametrize("past_work_s", [(0.0,), (-1.0,), (float("nan"),)])
def test_history_that_cannot_be_meant_is_refused(past_work_s: tuple[float, ...]) -> None:
    """A job that did nothing says nothing."""
    with pytest.raises(InvalidSpec):
        Unknown(past_work_s=past_work_s)
