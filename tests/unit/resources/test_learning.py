"""How far the learning of a job's curve has come, as its report shows it."""

from __future__ import annotations

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.learning import MAX_STATE, LearningPhase, LearningStatus
from carbonzeus_operator.resources.report import CARBON_REPORT, CarbonReportStatus


def test_what_the_learner_knows_comes_back_as_it_was_written():
    """The operator goes on with it after a restart."""
    learning = LearningStatus(
        phase=LearningPhase.MEASURING,
        windows=12,
        profiling_seconds=360,
        uncertainty="1.25%",
        state="s" * MAX_STATE,
    )
    written = {"status": CarbonReportStatus(learning=learning).as_json()}
    assert CARBON_REPORT.read_status(written).learning == learning


def test_a_report_without_learning_says_nothing_of_it():
    """Absent, not null: a job that names its profile teaches nothing."""
    assert "learning" not in CarbonReportStatus().as_json()
    assert CARBON_REPORT.read_status({"status": {}}).learning is None


def test_phases_are_named_as_people_read_them():
    """The words of the API."""
    assert [str(phase) for phase in LearningPhase] == ["WarmingUp", "Measuring", "Learned", "TooNoisy"]


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ({}, "phase"),
        ({"phase": "Guessing"}, "phase"),
        ({"phase": "Learned", "uncertainty": "1.25"}, "uncertainty"),
        ({"phase": "Learned", "profilingSeconds": -1}, "profilingSeconds"),
        ({"phase": "Learned", "state": "s" * (MAX_STATE + 1)}, "state"),
    ],
)
def test_learning_keeps_its_bounds(raw, place):
    """The same that the API server keeps."""
    with pytest.raises(InvalidSpec, match=rf"status\.learning\.{place}"):
        CARBON_REPORT.read_status({"status": {"learning": raw}})
