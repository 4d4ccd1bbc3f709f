"""Power and speed at a limit: the published figures, and what follows from them."""

from __future__ import annotations

import csv
import itertools
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_bed.physics import CURVES, PRODUCTS, Noise, load, shared_power_w

DATA = Path(__file__).parents[4] / "shared" / "data" / "zeus" / "power_profiles_a40_v100.csv"
SOURCES = {
    "a40-resnet50": ("A40", "resnet50", "128"),
    "a40-bert": ("A40", "bert_base_uncased", "24"),
    "v100-resnet50": ("V100", "resnet50", "256"),
}
networks = st.sampled_from(sorted(CURVES))
products = st.sampled_from(sorted(PRODUCTS))


@pytest.mark.parametrize("network", CURVES)
def test_figures_are_the_published_ones(network: str) -> None:
    """Every point of a curve stands so in Zeus's traces."""
    if not DATA.exists():
        pytest.skip(f"no measured data at {DATA}")
    with DATA.open() as file:
        rows = [
            row for row in csv.DictReader(file) if (row["gpu"], row["network"], row["batch_size"]) == SOURCES[network]
        ]
    published = [
        (float(row["power_limit_w"]), float(row["average_power_w"]), float(row["time_per_epoch_s"])) for row in rows
    ]
    assert [(point.limit_w, point.power_w, point.epoch_s) for point in CURVES[network].points] == published


@pytest.mark.parametrize(
    ("limit_w", "relative_time", "power_w"),
    [
        (300, 1.000, 244.3),
        (275, 1.010, 230.8),
        (250, 1.017, 216.2),
        (225, 1.033, 198.4),
        (200, 1.068, 179.2),
        (175, 1.194, 160.9),
        (150, 1.644, 144.4),
    ],
)
def test_resnet_on_a40_is_as_slow_and_as_hungry_as_measured(
    limit_w: float, relative_time: float, power_w: float
) -> None:
    """The figures that the project quotes, to their last digit but one."""
    board = load(CURVES["a40-resnet50"], PRODUCTS["NVIDIA A40"], limit_w)
    assert 1 / board.speed == pytest.approx(relative_time, abs=6e-4)
    assert board.power_w == pytest.approx(power_w, abs=0.15)


def test_between_two_points_both_are_linear() -> None:
    """Halfway between two limits, power and speed are the means."""
    curve = CURVES["a40-resnet50"]
    assert curve.power_w(212.5) == pytest.approx((curve.power_w(200) + curve.power_w(225)) / 2)
    assert curve.speed(212.5) == pytest.approx((curve.speed(200) + curve.speed(225)) / 2)


@given(network=networks, product=products, share=st.floats(0.25, 1.0))
def test_clock_ratio_is_a_lower_bound_of_speed(network: str, product: str, share: float) -> None:
    """What an agent reads from the clocks never promises more speed than there is."""
    board = PRODUCTS[product]
    limit_w = max(board.minimum_w, share * board.default_w)
    top = load(CURVES[network], board, board.default_w)
    capped = load(CURVES[network], board, limit_w)
    ratio = min(capped.sm_mhz / top.sm_mhz, capped.memory_mhz / top.memory_mhz)
    assert ratio <= capped.speed + 1e-12


@given(network=networks, product=products)
def test_lower_limits_are_never_faster_nor_hungrier(network: str, product: str) -> None:
    """Speed, power and clocks fall with the limit, on every board a curve is stretched to."""
    board = PRODUCTS[product]
    limits = [board.minimum_w + step / 50 * (board.default_w - board.minimum_w) for step in range(51)]
    loads = [load(CURVES[network], board, limit_w) for limit_w in limits]
    for lower, higher in itertools.pairwise(loads):
        assert lower.speed <= higher.speed
        assert lower.power_w <= higher.power_w
        assert lower.sm_mhz <= higher.sm_mhz
    assert loads[-1].speed == 1.0


def test_slow_board_takes_as_much_power_and_shows_a_lower_clock() -> None:
    """At 85 % of the speed the clock's ratio is still a lower bound of it."""
    curve, board = CURVES["a40-resnet50"], PRODUCTS["NVIDIA A40"]
    good, slow = load(curve, board, 225), load(curve, board, 225, 0.85)
    assert slow.speed == pytest.approx(0.85 * good.speed)
    assert slow.power_w == good.power_w
    assert 0.7 * good.sm_mhz < slow.sm_mhz <= 0.85 * good.sm_mhz


def test_waiting_board_draws_proportionally_less() -> None:
    """A board that works half the time draws half of what training adds to idling."""
    assert shared_power_w(230, 30, 0.5) == 130


def test_noise_wanders_around_one() -> None:
    """Its mean is 1 and its spread the one asked for."""
    noise = Noise("seed", 0.01)
    factors = [noise.step(5.0) for _ in range(4000)]
    assert statistics.mean(factors) == pytest.approx(1.0, abs=0.001)
    assert statistics.stdev(factors) == pytest.approx(0.01, rel=0.1)


def test_same_seed_gives_the_same_noise() -> None:
    """A bed can be run again, and two boards do not move together."""
    first, again, other = Noise("7/a", 0.01), Noise("7/a", 0.01), Noise("7/b", 0.01)
    run = [first.step(0.1) for _ in range(5)]
    assert run == [again.step(0.1) for _ in range(5)]
    assert run != [other.step(0.1) for _ in range(5)]
