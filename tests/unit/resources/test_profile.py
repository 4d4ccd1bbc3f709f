"""What the operator reads from a PowerProfile."""

from __future__ import annotations

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.profile import POWER_PROFILE, PowerProfileSpec, ProfileSource, ThroughputUnit


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
