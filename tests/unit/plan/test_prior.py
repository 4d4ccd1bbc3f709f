"""What is expected of a board before it was measured."""

from __future__ import annotations

import numpy as np
import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.plan.prior import GENERIC, Prior, shape_of


@pytest.mark.parametrize("product", ["NVIDIA A40", "A40", "NVIDIA-A40-48Q"])
def test_known_product_has_its_own_shape(product: str) -> None:
    """By any name that nvidia-smi or a label gives it."""
    assert "A40" in shape_of(product).source
    assert "V100" in shape_of("Tesla V100-SXM2-16GB").source


@pytest.mark.parametrize("product", ["NVIDIA A400", "NVIDIA H100 80GB HBM3", ""])
def test_unknown_product_is_trusted_with_nothing(product: str) -> None:
    """An A400 is no A40."""
    assert shape_of(product) is GENERIC


def test_levels_lie_25_w_apart_from_the_reference_limit_down_to_the_minimum() -> None:
    """And 50 W on large boards; a last step that would be tiny is left out."""
    assert Prior.of("NVIDIA A40", 300, 150).limits_w == (275, 250, 225, 200, 175, 150)
    assert Prior.of("NVIDIA A40", 290, 145.5).limits_w == (275, 250, 225, 200, 175, 146)
    assert Prior.of("NVIDIA H100", 700, 560).limits_w == (650, 600, 560)
    assert Prior.of("NVIDIA H100", 700, 555).limits_w == (650, 600, 555)
    assert Prior.of("NVIDIA H100", 700, 590).limits_w == (650, 590)


def test_the_lower_the_less_is_known() -> None:
    """Speed falls, and doubt grows."""
    for product in ("NVIDIA A40", "Tesla V100", "?"):
        prior = Prior.of(product, 300, 90)
        assert np.all(np.diff(prior.log_r) < 0)
        assert np.all(np.diff(np.diag(prior.covariance)) >= 0)


@pytest.mark.parametrize("minimum_w", [300, 301, 0, float("nan")])
def test_without_room_below_the_reference_limit_there_is_nothing_to_learn(minimum_w: float) -> None:
    """The message says which limits, and what to change."""
    with pytest.raises(InvalidSpec, match="minimumPercent"):
        Prior.of("NVIDIA A40", 300, minimum_w)
