"""Quantities as strings."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.quantity import format_decimal, format_percent, parse_decimal, parse_percent


@pytest.mark.parametrize(
    ("text", "share"), [("3%", 0.03), ("0%", 0.0), ("0.5%", 0.005), ("100%", 1.0), ("2.3125%", 0.023125)]
)
def test_a_percentage_becomes_a_share(text, share):
    """Exactly: no rounding on the way through binary fractions beyond the last one."""
    assert parse_percent(text) == share


@pytest.mark.parametrize(
    "text", ["3", "-1%", "250%", "100.1%", "%", "", "3 %", "3%%", "1e1%", "3%\n", "٣%", "0.00001%", "1000%"]
)
def test_anything_else_is_no_percentage(text):
    """The error says where it stood, what it was and what would be right."""
    with pytest.raises(
        InvalidSpec, match=r'^spec\.maxSlowdown must be a percentage from 0% to 100%.*"3%".*it is '
    ) as error:
        parse_percent(text, where="spec.maxSlowdown")
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(("text", "number"), [("0.5", 0.5), ("-12.25", -12.25), (300, 300.0), ("0", 0.0)])
def test_a_decimal_string_becomes_a_number(text, number):
    """Whole numbers may come without quotes."""
    assert parse_decimal(text) == number


@pytest.mark.parametrize("text", ["", "abc", "1e3", "nan", "inf", ".5", "5.", "0x10", "1_000", "+1", "1\n"])
def test_anything_else_is_no_decimal(text):
    """Python would read some of these; the API server would not."""
    with pytest.raises(InvalidSpec, match="must be a number in quotes"):
        parse_decimal(text)


@given(st.integers(0, 1_000_000))
def test_a_formatted_percentage_reads_back(ten_thousandths):
    """From 0 % to 100 % in steps of a ten-thousandth of a percent."""
    share = ten_thousandths / 1_000_000
    assert parse_percent(format_percent(share, digits=4)) == pytest.approx(share, abs=1e-12)


@given(st.floats(-1e12, 1e12))
@example(32.9375)
def test_a_formatted_decimal_is_plain_and_reads_back(value):
    """Never an exponent, never a negative zero, never a trailing zero."""
    text = format_decimal(value, digits=3)
    assert "e" not in text
    assert text != "-0"
    assert not ("." in text and text.endswith("0"))
    assert parse_decimal(text) == pytest.approx(value, abs=0.0005 + math.ulp(value))


def test_small_negative_shares_show_no_negative_zero():
    """A saving of -0.000001 reads `0%`."""
    assert format_percent(-0.00000001) == "0%"
    assert format_percent(-0.0123) == "-1.23%"
