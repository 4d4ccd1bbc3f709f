"""What a board draws and how fast a network trains under a power limit: published curves, boards, noise. Pure.

The figures of CURVES are from the traces of Zeus (You, Chung, Chowdhury, NSDI '23; github.com/ml-energy/zeus, `trace/`, Apache-2.0):
average power [W] and time per epoch [s], measured once on one GPU for each power limit.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: at this limit, this average power and this time for the same work."""

    limit_w: float
    power_w: float
    epoch_s: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Power and speed over the limit, linear between the points and flat outside them. Points in rising order of limit."""

    network: str
    points: tuple[Point, ...]

    @property
    def top_w(self) -> float:
        """The highest limit measured: speed is 1 there."""
        return self.points[-1].limit_w

    def power_w(self, limit_w: float) -> float:
        return self._between(limit_w, [point.power_w for point in self.points])

    def speed(self, limit_w: float) -> float:
        """Training speed relative to the highest limit."""
        fastest_s = self.points[-1].epoch_s
        return self._between(limit_w, [fastest_s / point.epoch_s for point in self.points])

    def _between(self, limit_w: float, values: list[float]) -> float:
        limits = [point.limit_w for point in self.points]
        index = bisect_left(limits, limit_w)
        if index == 0:
            return values[0]
        if index == len(limits):
            return values[-1]
        share = (limit_w - limits[index - 1]) / (limits[index] - limits[index - 1])
        return values[index - 1] + share * (values[index] - values[index - 1])


def _curve(network: str, *points: tuple[float, float, float]) -> Curve:
    return Curve(network, tuple(Point(*point) for point in points))


CURVES = {
    curve.network: curve
    for curve in (
        _curve(  # batch size 128
            "a40-resnet50",
            (100, 114.70916, 11009.39),
            (125, 125.06184, 9375.09),
            (150, 144.26072, 6147.46),
            (175, 160.86342, 4463.24),
            (200, 179.22632, 3992.39),
            (225, 198.38105, 3862.42),
            (250, 216.21927, 3804.21),
            (275, 230.76329, 3777.29),
            (300, 244.26059, 3739.5),
        ),
        _curve(  # bert_base_uncased, batch size 24
            "a40-bert",
            (100, 105.30899, 3643.41),
            (125, 122.8206, 2377.18),
            (150, 145.53911, 1582.62),
            (175, 166.95738, 1194.22),
            (200, 188.08606, 1008.76),
            (225, 209.05638, 947.255),
            (250, 232.49746, 925.39),
            (275, 252.39769, 913.68),
            (300, 267.43702, 910.12),
        ),
        _curve(  # batch size 256
            "v100-resnet50",
            (100, 98.382406, 6781.1733),
            (125, 121.96602, 5064.97),
            (150, 144.59475, 4148.66),
            (175, 166.37218, 3852.18),
            (200, 184.94427, 3700.9733),
            (225, 205.4383, 3584.3033),
            (250, 220.2503, 3514.9867),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Product:
    """A kind of board, by the name that NVML gives it."""

    name: str
    default_w: float
    minimum_w: float
    maximum_w: float
    idle_w: float
    architecture: int
    """NVML_DEVICE_ARCH_*: 5 Volta, 7 Ampere, 9 Hopper."""
    sm_mhz: int
    memory_mhz: int
    memory_mib: int
    averaged: bool
    """Whether nvmlDeviceGetPowerUsage is the mean of the last second (Ampere except GA100, and later) or the moment."""
    mig: bool = False


PRODUCTS = {
    product.name: product
    for product in (
        Product("NVIDIA A40", 300, 100, 300, 30, 7, 1740, 7251, 46_068, averaged=True),
        Product("Tesla V100-PCIE-32GB", 250, 100, 250, 26, 5, 1380, 877, 32_768, averaged=False),
        Product("NVIDIA A100-SXM4-40GB", 400, 100, 400, 50, 7, 1410, 1215, 40_960, averaged=False, mig=True),
        Product("NVIDIA H100 80GB HBM3", 700, 200, 700, 70, 9, 1980, 2619, 81_559, averaged=True, mig=True),
    )
}

IDLE_SM_MHZ = 210
IDLE_MEMORY_MHZ = 405
CLOCK_STEP_MHZ = 15
LOW_MEMORY_SHARE = 0.4
"""Below this share of the default limit the memory clock falls too."""


@dataclass(frozen=True, slots=True)
class Load:
    """A board that trains at full tilt under a limit."""

    power_w: float
    speed: float
    """Relative to a good board at its default limit."""
    sm_mhz: int
    memory_mhz: int


def load(curve: Curve, product: Product, limit_w: float, board_speed: float = 1.0) -> Load:
    """What `product` does under `limit_w` while it trains the curve's network.

    board_speed: of this board, relative to a good one. A slow one takes as much power, and its clock falls as its speed does.

    A curve measured on another board is stretched, so that its highest limit is the product's default limit.
    The SM clock falls with the square of the speed: a network does not slow down by as much as its clock, so the
    clocks' ratio is a lower bound of the speed, as it is on boards.
    """
    stretch = product.default_w / curve.top_w
    speed = board_speed * curve.speed(limit_w / stretch)
    sm_mhz = max(IDLE_SM_MHZ, math.floor(product.sm_mhz * speed**2 / CLOCK_STEP_MHZ) * CLOCK_STEP_MHZ)
    low = limit_w < LOW_MEMORY_SHARE * product.default_w
    return Load(
        power_w=max(product.idle_w, stretch * curve.power_w(limit_w / stretch)),
        speed=speed,
        sm_mhz=sm_mhz,
        memory_mhz=round(product.memory_mhz * 0.7) if low else product.memory_mhz,
    )


def shared_power_w(full_w: float, idle_w: float, share: float) -> float:
    """The power [W] of a board that works for `share` of the time and waits for slower workers otherwise."""
    return idle_w + share * (full_w - idle_w)


@dataclass(slots=True)
class Noise:
    """A factor around 1 that wanders and comes back (Ornstein-Uhlenbeck), with standard deviation `sigma`."""

    seed: str
    sigma: float
    memory_s: float = 5.0
    _random: random.Random = field(init=False, repr=False)
    _offset: float = field(init=False, default=0.0, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._offset = self._random.gauss(0.0, self.sigma)

    def step(self, seconds: float) -> float:
        """The factor after `seconds` more."""
        kept = math.exp(-seconds / self.memory_s)
        self._offset = kept * self._offset + self._random.gauss(0.0, self.sigma * math.sqrt(1.0 - kept * kept))
        return max(0.5, 1.0 + self._offset)
