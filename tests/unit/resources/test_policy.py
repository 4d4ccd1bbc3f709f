"""What the operator reads from a CarbonPolicy."""

from __future__ import annotations

from typing import Any

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.resources.policy import CARBON_POLICY, CarbonPolicySpec, Mode, WhenStale


def policy(**spec: Any) -> CarbonPolicySpec:
    """A policy `gentle` with this spec, as the API server gives it."""
    return CARBON_POLICY.read_spec({"metadata": {"name": "gentle"}, "spec": spec})


def test_the_smallest_policy_has_all_defaults():
    """One knob is enough."""
    spec = policy(maxSlowdown="3%")
    assert spec.slowdown == 0.03
    assert spec.slowdown_limit == 0.03
    assert spec.eta is None
    assert (spec.mode, spec.signal, spec.zone) == (Mode.ENFORCE, Signal.AVERAGE, None)
    assert (spec.power_limit.minimum_percent, spec.power_limit.maximum_percent) == (50, 100)
    assert (spec.overhead.host_watts_per_gpu, spec.overhead.pue_factor) == (0, 1.0)
    assert (spec.stale_forecast.after_minutes, spec.stale_forecast.then) == (360, WhenStale.HOLD_STATIC)


def test_a_carbon_weight_gives_eta_and_no_bound():
    """The other knob."""
    spec = policy(carbonWeight="0.25", overhead={"hostWattsPerGPU": 90, "pue": "1.35"})
    assert (spec.eta, spec.slowdown, spec.slowdown_limit) == (0.25, None, None)
    assert (spec.overhead.host_watts_per_gpu, spec.overhead.pue_factor) == (90, 1.35)


@pytest.mark.parametrize("spec", [{}, {"maxSlowdown": "3%", "carbonWeight": "0.5"}])
def test_both_or_neither_knob_cannot_be_read(spec):
    """Should such an object ever get past the API server, it is an InvalidSpec that names the policy."""
    with pytest.raises(InvalidSpec, match=r"CarbonPolicy gentle cannot be used: .*exactly one of maxSlowdown"):
        policy(**spec)


def test_a_quantity_that_cannot_be_meant_is_named_with_its_field():
    """All faults at once."""
    with pytest.raises(InvalidSpec) as error:
        policy(maxSlowdown="3", overhead={"pue": "0.5"})
    assert "spec.maxSlowdown: must be a percentage" in str(error.value)
    assert "spec.overhead.pue: must be a number from 1 to 10" in str(error.value)


def test_fields_of_a_newer_operator_are_passed_over():
    """An older operator may meet a newer object."""
    assert policy(maxSlowdown="3%", novelty={"a": 1}).slowdown == 0.03


def test_a_job_may_lower_its_bound():
    """Nobody needs permission to be slowed down less."""
    assert policy(maxSlowdown="3%").slowdown_for(0.01) == 0.01


def test_a_job_that_asks_nothing_gets_the_bound_of_the_policy():
    """And under a carbonWeight it has none."""
    assert policy(maxSlowdown="3%", maxSlowdownLimit="10%").slowdown_for(None) == 0.03
    assert policy(carbonWeight="0.5").slowdown_for(None) is None


def test_a_job_may_raise_its_bound_to_the_limit_of_the_policy():
    """As far as maxSlowdownLimit, and no further."""
    spec = policy(maxSlowdown="3%", maxSlowdownLimit="10%")
    assert spec.slowdown_for(0.10) == 0.10
    with pytest.raises(InvalidSpec, match=r"asks for 12\.5%, but the policy allows 10% at most"):
        spec.slowdown_for(0.125)


def test_a_job_may_not_raise_its_bound_unless_the_policy_says_so():
    """Without maxSlowdownLimit the policy's own bound is the limit."""
    with pytest.raises(InvalidSpec, match="allows 3% at most") as error:
        policy(maxSlowdown="3%").slowdown_for(0.04)
    assert error.value.reason == "SlowdownNotAllowed"


def test_a_bound_has_no_meaning_under_a_carbon_weight():
    """Said so instead of ignored."""
    with pytest.raises(InvalidSpec, match="has no meaning under this policy"):
        policy(carbonWeight="0.5").slowdown_for(0.02)
