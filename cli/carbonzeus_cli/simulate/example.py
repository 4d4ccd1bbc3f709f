"""What is simulated where no files are given: a published curve on a recorded grid."""

from __future__ import annotations

from importlib.resources import files

from carbonzeus_operator.grid import csvfile
from carbonzeus_operator.grid.recording import Recording
from carbonzeus_operator.plan.curve import Point

CURVE_SOURCE = "ResNet-50, batch size 128, on one NVIDIA A40 (Zeus, NSDI '23: github.com/ml-energy/zeus, Apache-2.0)"
INTENSITY_SOURCE = (
    "California (CISO) from 2021-08-18 on, forecasts as issued, every third hour (CarbonCast, BuildSys '22: "
    "github.com/carbonfirst/CarbonCast, Apache-2.0)"
)

# Power limit [W], average power [W], time for an epoch [s]. At 100 W the board could not hold the limit.
_A40_RESNET50 = (
    (300, 244.26, 3739.50),
    (275, 230.76, 3777.29),
    (250, 216.22, 3804.21),
    (225, 198.38, 3862.42),
    (200, 179.23, 3992.39),
    (175, 160.86, 4463.24),
    (150, 144.26, 6147.46),
    (125, 125.06, 9375.09),
)


def points() -> list[Point]:
    """The published curve."""
    return [Point(limit_w, average_w, 1 / epoch_s) for limit_w, average_w, epoch_s in _A40_RESNET50]


def recording() -> Recording:
    """The recorded grid."""
    file = files("carbonzeus_cli.simulate") / "example.csv"
    with file.open(encoding="utf-8") as lines:
        return csvfile.parse("the built-in example", lines)
