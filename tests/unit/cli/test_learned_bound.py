"""The any-time bound while nobody knows the curve: over random curves, noise, phases and restarts, from the first second on."""

from __future__ import annotations

import json
import os
import random
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from carbonzeus_cli.simulate.actual import Actual
from carbonzeus_cli.simulate.feed import Perfect
from carbonzeus_cli.simulate.job import Job
from carbonzeus_cli.simulate.learning import learn
from carbonzeus_cli.simulate.truth import Meter, Traits
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.estimator import Learner
from carbonzeus_operator.plan.estimator_state import from_document, to_document
from carbonzeus_operator.plan.prior import STEEPEST, Prior
from carbonzeus_operator.world.snapshot import Rules
from tests.unit.cli.conftest import BEGIN

THOROUGH = os.environ.get("CARBONZEUS_THOROUGH") == "1"
RULES = Rules(replan=timedelta(minutes=15), checked=timedelta(minutes=5))


@st.composite
def truths(draw: st.DrawFn) -> Curve:
    """Boards that lose more and more on the way down, as steeply as any board may, with corners at any limit."""
    reference_w = draw(st.sampled_from([250, 300, 400, 700]))
    corners = draw(st.lists(st.integers(reference_w * 4 // 10, reference_w - 1), min_size=1, max_size=7, unique=True))
    limits_w = sorted({*corners, reference_w * 2 // 5, reference_w}, reverse=True)
    steeper = sorted(draw(st.lists(st.floats(0, STEEPEST - 0.5), min_size=len(limits_w), max_size=len(limits_w))))
    drawn = draw(st.floats(0.3, 1.0)) * reference_w
    r, points = 1.0, []
    for index, limit_w in enumerate(limits_w):
        if index:
            r *= (limit_w / limits_w[index - 1]) ** steeper[index]
        points.append(Point(limit_w, min(drawn, limit_w * 0.98), r))
    return Curve.from_points(points, reference_w, minimum_w=reference_w / 2)


NOISES = [(noise, 0.0) for noise in (0.0, 0.0003, 0.001, 0.005, 0.02)]
LASTING = [(noise, memory_s) for noise in (0.0003, 0.001, 0.005, 0.02) for memory_s in (30.0, 200.0, 600.0)]
"""Of a window of a minute, and for how long it lasts [s]."""


def _traits(noise: tuple[float, float], **others: Any) -> Traits:
    return Traits(noise=noise[0], memory_s=noise[1], **others)


traits = st.builds(
    _traits,
    noise=st.sampled_from(NOISES + LASTING),
    wander=st.sampled_from([0.0, 0.0003, 0.001]),
    steps_per_s=st.sampled_from([0.5, 5.0, 100.0]),
    timed=st.booleans(),
    warm_up_s=st.sampled_from([0.0, 60.0, 120.0]),
    evaluates_every_s=st.sampled_from([900.0, 3600.0]),
    evaluates_s=st.sampled_from([0.0, 60.0, 240.0]),
)


WORLD = {
    "truth": truths(),
    "traits": traits,
    "seed": st.integers(0, 2**32 - 1),
    "slowdown": st.sampled_from([0.01, 0.03, 0.1]),
    "product": st.sampled_from(["NVIDIA A40", "Tesla V100-SXM2-16GB", "an unknown board"]),
    "known": st.booleans(),
    "hours": st.sampled_from([1.0, 4.0]),
}


def most_behind_s(
    truth: Curve, traits: Traits, seed: int, slowdown: float, product: str, known: bool, hours: float
) -> float:
    """How far two runs of a workload are behind the bound at their worst moment; one round in twenty the operator is started anew."""
    rng = random.Random(seed)
    actual = Actual(BEGIN, timedelta(hours=1), np.array([rng.uniform(50, 800) for _ in range(30)]))
    job = Job(truth, hours * 3600, slowdown, known=known, rules=RULES)
    prior = Prior.of(product, truth.reference_limit_w, truth.lowest.limit_w)

    def restarted(learner: Learner) -> Learner | None:
        """The operator forgets all but what it wrote down."""
        if rng.random() > 0.05:
            return None
        return from_document(json.loads(json.dumps(to_document(learner))), prior)

    learner, worst_s = Learner.begin(prior), 0.0
    for number in (1, 2):
        meter = Meter(truth, traits, random.Random(seed + number))
        lesson = learn(job, Perfect(actual, RULES.horizon), BEGIN, learner, meter, restarted)
        worst_s = max(worst_s, lesson.trace.until_done(job.work_s).most_behind_s(job.bound))
        learner = lesson.learner.next_run()
    return worst_s


@settings(max_examples=60, deadline=None, phases=[Phase.generate], derandomize=True)
@given(**WORLD)
def test_bound_holds_from_the_first_second_on(**world: Any) -> None:
    """While the curve is measured, after, in the next run of the workload, and whenever the operator is started anew."""
    assert most_behind_s(**world) <= RULES.grace_s + 1e-3


@pytest.mark.skipif(not THOROUGH, reason="2,000 pairs of runs take minutes; set CARBONZEUS_THOROUGH=1")
def test_bound_holds_in_thousands_of_worlds() -> None:
    """New ones each time. Work is counted three deviations low, which is not always enough: the rest is kept in hand."""
    behind_s: list[tuple[float, str]] = []

    @settings(max_examples=2_000, deadline=None, phases=[Phase.generate], database=None)
    @given(**WORLD)
    def run(**world: Any) -> None:
        behind_s.append((most_behind_s(**world), str(world)))

    run()
    most_s = max(behind_s)[0]
    print(f"{len(behind_s)} pairs of runs: the most that any was behind is {most_s:.1f} s of {RULES.grace_s:g}")
    broken = [each for each in behind_s if each[0] > RULES.grace_s + 1e-3]
    print(*broken, sep="\n")
    assert broken == []


KNEE = Curve.from_points(
    [Point(150, 136.01264, 0.5316186), Point(268, 208.43568, 1.0), Point(300, 208.43568, 1.0)], 300
)
SHARP = Curve.from_points(
    [Point(125, 122, 0.5565), Point(180, 176, 0.838), Point(246, 204, 0.9929), Point(250, 204, 1.0)],
    250,
    minimum_w=125,
)


@pytest.mark.parametrize(
    ("truth", "traits_", "seed", "slowdown", "known", "hours"),
    [
        # Limits between two levels were faster than the line between them, and so made the lower level look faster.
        (KNEE, Traits(0.005, 0.0003, 100.0, warm_up_s=120.0, evaluates_every_s=900.0, evaluates_s=0.0), 1705860414, 0.03, True, 4.0),
        # A counter of a step in two seconds hid a noise of 2 %, which was taken for 0.17 %.
        (SHARP, Traits(0.02, 0.001, 0.5, evaluates_every_s=900.0), 940815083, 0.01, False, 1.0),
    ],
)  # fmt: skip
def test_bound_holds_where_it_was_once_broken(truth, traits_, seed, slowdown, known, hours) -> None:
    """By 18 and by 5 seconds."""
    behind_s = most_behind_s(truth, traits_, seed, slowdown, "an unknown board", known, hours)
    assert behind_s <= RULES.grace_s + 1e-3


def test_a_part_of_an_evaluation_is_not_taken_for_a_slower_reference() -> None:
    """In a record of five minutes 14 s of an evaluation were 7 of 143 whole steps: by 37 s beyond the bound in the next run."""
    flat = Curve.from_points([Point(125, 75, 0.3715701922409332), Point(250, 75, 1.0)], 250, minimum_w=125)
    whole = Traits(0.0, 0.0, 0.5, timed=False, warm_up_s=0.0, evaluates_every_s=900.0)
    assert most_behind_s(flat, whole, 0, 0.1, "NVIDIA A40", known=False, hours=1.0) <= RULES.grace_s + 1e-3


def test_a_change_of_the_job_is_found_and_learned() -> None:
    """From the third hour on it loses three times as much: the old curve goes, and what was done before stays done."""
    before = Curve.from_points([Point(150, 145, 0.8), Point(225, 215, 0.96), Point(300, 260, 1.0)], 300, minimum_w=150)
    after = Curve.from_points([Point(150, 145, 0.5), Point(225, 215, 0.88), Point(300, 260, 1.0)], 300, minimum_w=150)
    prior = Prior.of("NVIDIA A40", 300, 150)
    learner = Learner.begin(prior)
    meter = Meter(before, Traits(noise=0.0003, wander=0, evaluates_s=0), random.Random(1))
    for seconds, limit_w in [(1200, 300), (600, 275), (600, 250), (600, 225), (600, 200), (7200, 225)]:
        for seen in meter.held(seconds, limit_w, 60.0):
            learner = learner.observe(seen)
    assert learner.curve is not None
    assert learner.curve.at(225)[1] == pytest.approx(0.96, abs=0.001)
    assert learner.changes == 0
    done_s = learner.work_s
    meter.curve = after
    for seen in meter.held(1200, 225, 60.0):
        learner = learner.observe(seen)
    assert learner.changes == 1
    assert learner.lowest_r[225] < 0.9
    assert done_s * 0.999 < learner.work_s < done_s + 1200 * 0.96
    for seconds, limit_w in [(600, 300), (600, 275), (600, 250), (600, 225)]:
        for seen in meter.held(seconds, limit_w, 60.0):
            learner = learner.observe(seen)
    assert learner.curve is not None
    assert learner.curve.at(225)[1] == pytest.approx(0.88, abs=0.002)
