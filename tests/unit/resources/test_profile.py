"""What the operator reads from a PowerProfile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.profile import (
    POWER_PROFILE,
    MeasuredLimit,
    PowerProfileSpec,
    PowerProfileStatus,
    ProfileSource,
    ThroughputUnit,
)


def point(limit: int | str, average: int | str, throughput: int | str) -> dict[str, int | str]:
    """One point as written in YAML."""
    return {"limitWatts": limit, "averageWatts": average, "throughput": throughput}


def profile(*points: dict[str, int | str], **more: int | str) -> PowerProfileSpec:
    """A profile with these points."""
    raw = {
        "metadata": {"namespace": "ml", "name": "resnet50"},
        "spec": {"gpuProduct": "NVIDIA A40", "points": points, **more},
    }
    return POWER_PROFILE.read_spec(raw)


def test_points_come_as_numbers_by_rising_limit():
    """Whole numbers and decimals in quotes may be mixed, in any order."""
    spec = profile(point(300, "244.3", 1), point("187.5", 170, "0.9"), point(250, "216.2", "0.983"))
    assert spec.to_points() == ((187.5, 170.0, 0.9), (250.0, 216.2, 0.983), (300.0, 244.3, 1.0))
    assert spec.to_points()[0].limit_w == 187.5


def test_the_reference_is_the_largest_limit_unless_said_otherwise():
    """Points above a lowered reference limit may be there."""
    points = (point(300, 244, 1), point(250, 216, "0.98"))
    assert profile(*points).reference_limit_w == 300.0
    assert profile(*points, referenceLimitWatts="250").reference_limit_w == 250.0


def test_a_profile_is_of_one_gpu_by_a_user_and_relative_by_default():
    """What a person leaves out."""
    spec = profile(point(300, 244, 1), point(250, 216, "0.98"))
    assert (spec.gpu_count, spec.source, spec.throughput_unit) == (1, ProfileSource.USER, ThroughputUnit.RELATIVE)


def test_noise_is_kept_as_measured():
    """A throughput that falls at a rising limit is for the planner to repair, with a reason."""
    spec = profile(point(225, 198, "1.02"), point(250, 216, "1.00"))
    assert [one.throughput for one in spec.to_points()] == [1.02, 1.0]


@pytest.mark.parametrize(
    ("points", "more", "reason"),
    [
        ([point(300, 244, 1)], {}, "at least two points"),
        ([point(300, 244, 1), point("300.0", 216, "0.98")], {}, "each limitWatts may occur once"),
        ([point(300, 244, 1), point(250, 216, 0)], {}, r"spec\.points\.1\.throughput.*must be a number above 0"),
        ([point(300, 244, 1), point(250, "-3", 1)], {}, r"spec\.points\.1\.averageWatts.*must be a number above 0"),
        ([point(300, 244, 1), point(250, 216, 1)], {"referenceLimitWatts": 275}, "one of the points"),
    ],
)
def test_what_is_no_curve_cannot_be_read(points, more, reason):
    """Each with its own reason, naming the profile."""
    with pytest.raises(InvalidSpec, match=f"PowerProfile ml/resnet50 cannot be used: .*{reason}"):
        profile(*points, **more)


@pytest.mark.parametrize("text", ["0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", ""])
def test_a_fingerprint_has_16_hexadecimal_digits(text):
    """Lower-case ones."""
    points = (point(300, 244, 1), point(250, 216, "0.98"))
    assert profile(*points, fingerprint="0123456789abcdef").fingerprint == "0123456789abcdef"
    with pytest.raises(InvalidSpec, match=r"spec\.fingerprint"):
        profile(*points, fingerprint=text)


def learned(**more: Any) -> dict[str, Any]:
    """A status as the operator writes it, in JSON."""
    at_limit = {
        "limitWatts": "250",
        "averageWatts": "216.2",
        "throughput": "7.312",
        "throughputLow": "7.29",
        "throughputHigh": "7.334",
        "seconds": 1800,
    }
    return {
        "windows": 41,
        "runs": 3,
        "version": 1,
        "uncertainty": "0.3%",
        "lastRunTime": "2026-03-01T12:00:00Z",
        "measured": [at_limit],
        "state": '{"levels": []}',
        **more,
    }


def test_what_was_learned_is_read_as_it_was_written():
    """Nothing is lost on the way, and times come back in UTC."""
    status = POWER_PROFILE.read_status({"status": learned()})
    assert status == PowerProfileStatus(
        windows=41,
        runs=3,
        version=1,
        uncertainty="0.3%",
        last_run_time=datetime(2026, 3, 1, 12, tzinfo=UTC),
        measured=(
            MeasuredLimit(
                limit_watts="250",
                average_watts="216.2",
                throughput="7.312",
                throughput_low="7.29",
                throughput_high="7.334",
                seconds=1800,
            ),
        ),
        state='{"levels": []}',
    )
    assert {**status.as_json(), "conditions": []} == {**learned(), "conditions": []}


def test_a_profile_of_a_person_has_nothing_learned():
    """Absent, not zero."""
    assert PowerProfileStatus(points=4).as_json() == {"points": 4, "measured": [], "conditions": []}


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"uncertainty": "0.3"}, "uncertainty"),
        ({"version": 0}, "version"),
        ({"windows": -1}, "windows"),
        ({"windows": 2**53}, "windows"),
        ({"state": "x" * 65_537}, "state"),
        ({"measured": learned()["measured"] * 65}, "measured"),
        ({"measured": [{**learned()["measured"][0], "throughputLow": 7.29}]}, r"measured\.0\.throughputLow"),
    ],
)
def test_what_is_learned_keeps_its_bounds(more, place):
    """The same that the API server keeps."""
    with pytest.raises(InvalidSpec, match=rf"status\.{place}"):
        POWER_PROFILE.read_status({"status": learned(**more)})
