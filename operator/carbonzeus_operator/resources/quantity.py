"""Quantities as strings, since the Kubernetes API has no floats: `"3%"`, `"0.5"`, `"244.3"`.

The types for specs carry their rule for the API server, so that server and operator refuse the same strings with the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.base import Rule, rules

PERCENT = r"^[0-9]{1,3}([.][0-9]{1,4})?%$"
DECIMAL = r"^[0-9]{1,6}([.][0-9]{1,6})?$"
_SIGNED = r"^-?[0-9]{1,15}([.][0-9]{1,9})?$"
_PERCENT_ADVICE = 'must be a percentage from 0% to 100% with its sign, such as "3%" or "0.5%"'
_POSITIVE_ADVICE = 'must be a number above 0: a whole one such as 300, or a decimal in quotes such as "287.5"'


def parse_percent(text: str, *, where: str = "the value") -> float:
    """`"3%"` -> 0.03. InvalidSpec for anything but a percentage from 0 % to 100 %; `where` begins its sentence."""
    if not re.fullmatch(PERCENT, text) or Decimal(text[:-1]) > 100:
        raise InvalidSpec(f"{where} {_PERCENT_ADVICE}; it is {text!r}", reason="InvalidPercentage")
    return float(Decimal(text[:-1]) / 100)


def parse_decimal(text: str | int, *, where: str = "the value") -> float:
    """`"0.5"` -> 0.5. InvalidSpec for anything but a plain decimal; `where` begins its sentence."""
    if not re.fullmatch(_SIGNED, str(text)):
        raise InvalidSpec(f'{where} must be a number in quotes, such as "0.5"; it is {text!r}', reason="InvalidNumber")
    return float(text)


def format_percent(share: float, digits: int = 2) -> str:
    """0.0312 -> `"3.12%"`; trailing zeros dropped, never `"-0%"`."""
    return format_decimal(share * 100, digits) + "%"


def format_decimal(value: float, digits: int = 3) -> str:
    """244.3 -> `"244.3"`; trailing zeros dropped, never an exponent, never `"-0"`."""
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _refuse_unless(holds: Callable[[Any], bool], advice: str) -> AfterValidator:
    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError(f"{advice}; it is {value!r}")
        return value

    return AfterValidator(check)


def _decimal_from(low: int, high: int) -> tuple[AfterValidator, dict[str, Any]]:
    advice = f'must be a number from {low} to {high} in quotes, such as "{low + 0.5}"'
    rule = f"self.matches('{DECIMAL}') && double(self) >= {low}.0 && double(self) <= {high}.0"
    return (
        _refuse_unless(lambda text: bool(re.fullmatch(DECIMAL, text)) and low <= Decimal(text) <= high, advice),
        rules(Rule(rule, advice)),
    )


def _positive(value: int | str) -> bool:
    return (isinstance(value, int) or bool(re.fullmatch(DECIMAL, value))) and Decimal(value) > 0


_UNIT_CHECK, _UNIT_RULE = _decimal_from(0, 1)
_PUE_CHECK, _PUE_RULE = _decimal_from(1, 10)

Percent = Annotated[
    str,
    Field(
        max_length=9,
        json_schema_extra=rules(
            Rule(f"self.matches('{PERCENT}') && double(self.replace('%', '')) <= 100.0", _PERCENT_ADVICE)
        ),
    ),
    _refuse_unless(lambda text: bool(re.fullmatch(PERCENT, text)) and Decimal(text[:-1]) <= 100, _PERCENT_ADVICE),
]
"""For specs: a percentage from 0 % to 100 %."""

Weight = Annotated[str, Field(max_length=13, json_schema_extra=_UNIT_RULE), _UNIT_CHECK]
"""For specs: a decimal from 0 to 1."""

Pue = Annotated[str, Field(max_length=13, json_schema_extra=_PUE_RULE), _PUE_CHECK]
"""For specs: a power usage effectiveness, from 1 to 10."""

PositiveNumber = Annotated[
    int | str,
    _refuse_unless(_positive, _POSITIVE_ADVICE),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 13,
            "maximum": 999_999,
            **rules(
                Rule(
                    f"type(self) == int ? self > 0 : (self.matches('{DECIMAL}') && double(self) > 0.0)",
                    _POSITIVE_ADVICE,
                )
            ),
        }
    ),
]
"""For specs: a number above 0 that people write as 300 or as `"287.5"`."""

DecimalString = Annotated[str, Field(max_length=26, pattern=_SIGNED)]
"""For statuses: a decimal that may be negative, from `format_decimal`."""

PercentString = Annotated[str, Field(max_length=27, pattern=_SIGNED.removesuffix("$") + "%$")]
"""For statuses: a percentage that may be negative, from `format_percent`."""
