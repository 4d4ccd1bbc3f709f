"""Parts, rules, conditions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from carbonzeus_operator.resources.base import Condition, Rule, rules
from carbonzeus_operator.resources.policy import CARBON_POLICY, CarbonPolicyStatus

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)


def condition(
    status: Literal["True", "False"], reason: str = "Because", at: datetime = NOW, kind: str = "Ready"
) -> Condition:
    """A condition that changed at `at`."""
    return Condition(type=kind, status=status, reason=reason, message="why", last_transition_time=at)


def test_an_unchanged_status_keeps_its_transition_time():
    """Reason and message may change; the time says since when it is so."""
    (after,) = Condition.updated((condition("True", at=THEN),), condition("True", "Other"))
    assert (after.last_transition_time, after.reason) == (THEN, "Other")


def test_a_changed_status_gets_a_new_transition_time():
    """Now it is otherwise."""
    (after,) = Condition.updated((condition("True", at=THEN),), condition("False"))
    assert (after.last_transition_time, after.status) == (NOW, "False")


def test_other_conditions_stay():
    """One a type, in their old order."""
    before = (condition("True", at=THEN), condition("True", at=THEN, kind="Measured"))
    after = Condition.updated(before, condition("False"))
    assert [one.type for one in after] == ["Ready", "Measured"]


def test_a_status_goes_out_without_nulls():
    """camelCase, UTC instants, what is absent stays absent."""
    status = CarbonPolicyStatus(jobs=2, conditions=(condition("True"),))
    assert status.as_json() == {
        "jobs": 2,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Because",
                "message": "why",
                "lastTransitionTime": "2026-01-01T01:00:00Z",
            }
        ],
    }


def test_a_status_reads_back():
    """What was written is what is read."""
    status = CarbonPolicyStatus(jobs=2, conditions=(condition("True"),))
    assert CARBON_POLICY.read_status({"status": status.as_json()}) == status


def test_an_object_without_status_reads_as_an_empty_one():
    """Just made, not yet seen."""
    assert CARBON_POLICY.read_status({"metadata": {"name": "x"}}) == CarbonPolicyStatus()


def test_a_rule_says_whether_its_message_is_an_expression():
    """The API server has two fields for it."""
    assert rules(Rule("self > 0", "must be above 0"), Rule("a", "'b'", path=".c", expression=True)) == {
        "x-kubernetes-validations": [
            {"rule": "self > 0", "message": "must be above 0"},
            {"rule": "a", "messageExpression": "'b'", "fieldPath": ".c"},
        ]
    }
