"""The options of `simulate`, and how each is read."""

from __future__ import annotations

import math
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from carbonzeus_cli.simulate.history import Forecast
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.quantity import parse_percent

DESCRIPTION = """\
What carbonzeus would have saved: runs its planner over recorded carbon intensity, next to the default limit, the best
constant limit, Eq. 6 of "Chasing Low-Carbon Electricity" tuned in hindsight, perfect foresight and the optimum.

Without files it simulates a published curve (ResNet-50 on an A40) on a recorded grid (California, August 2021)."""

EXAMPLES = """\
files:
  --curve, --truth   power_limit_w,average_power_w,throughput         one row a power limit; throughput in any unit
  --intensity        start_utc,gco2_per_kwh                           one row an interval, or
                     issued_utc,start_utc,forecast_gco2eq_kwh,actual_gco2eq_kwh   forecasts as they were issued

examples:
  {prog}
  {prog} --curve my-gpu.csv --intensity my-zone.csv --slowdown 5% --every 24h
  {prog} --intensity my-zone.csv --forecast yesterday --length known --plot savings.png
  {prog} --curve learned --truth my-gpu.csv --hours 24
"""
LEARNED = "learned"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    curve: Path | None
    """The curve that is true, and known unless `learned`."""
    learned: bool
    """Whether the planner has to measure the curve while the job trains."""
    product: str
    """The GPU product, for what to expect before anything is measured."""
    noise: float
    """Of a window of a minute, as a share."""
    intensity: Path | None
    forecast: Forecast
    slowdown: float | None
    """As a share; None under a carbonWeight."""
    eta: float
    hours: float
    start: datetime | None
    every: timedelta | None
    known: bool
    grace_s: float
    replan: timedelta
    reference_limit_w: float | None
    minimum_percent: float
    gpus: int
    host_w_per_gpu: float
    pue: float
    json: bool
    plot: Path | None

    @classmethod
    def of(cls, given: Namespace) -> Options:
        """From what argparse read."""
        weighted = given.carbon_weight is not None
        slowdown = given.slowdown if given.slowdown is not None else 0.03
        learned = str(given.curve) == LEARNED
        if learned and weighted:
            raise InvalidSpec(
                "--curve learned needs a bound to measure within: give --slowdown instead of --carbon-weight",
                reason="InvalidOption",
            )
        if given.truth is not None and not learned:
            raise InvalidSpec(
                "--truth is what a learned curve is compared with: say --curve learned, or give the file as --curve",
                reason="InvalidOption",
            )
        return cls(
            curve=given.truth if learned else given.curve,
            learned=learned,
            product=given.product or ("NVIDIA A40" if given.truth is None else "GPU"),
            noise=given.noise,
            intensity=given.intensity,
            forecast=Forecast(given.forecast),
            slowdown=None if weighted else slowdown,
            eta=given.carbon_weight or 0.0,
            hours=given.hours,
            start=given.start,
            every=given.every,
            known=given.length == "known",
            grace_s=given.grace,
            replan=given.replan,
            reference_limit_w=given.reference_limit,
            minimum_percent=given.min_percent,
            gpus=given.gpus,
            host_w_per_gpu=given.host_watts,
            pue=given.pue,
            json=given.json,
            plot=given.plot,
        )


def add_to(parser: ArgumentParser) -> None:
    """Tell argparse all options."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.usage = "%(prog)s [options]"
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES.format(prog=parser.prog)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--curve",
        metavar="FILE.csv",
        type=Path,
        help="the GPU's power curve for this training; or `learned`: nobody knows it, it is measured while the job trains",
    )
    data.add_argument(
        "--truth",
        metavar="FILE.csv",
        type=Path,
        help="with --curve learned: the curve as it really is (the built-in example)",
    )
    data.add_argument("--intensity", metavar="FILE.csv", type=Path, help="the grid's carbon intensity")
    data.add_argument(
        "--forecast",
        choices=[one.value for one in Forecast],
        default=Forecast.GIVEN.value,
        help="given (default): the file's forecasts; a file without any is known ahead. yesterday: every day to come is "
        "like the last 24 hours",
    )
    job = parser.add_argument_group("job")
    knob = job.add_mutually_exclusive_group()
    knob.add_argument("--slowdown", metavar="PERCENT", type=_slowdown, help="how far the job may fall behind (3%%)")
    knob.add_argument(
        "--carbon-weight",
        metavar="ETA",
        type=_number(0, 1),
        help="instead: 0 weighs time only, 1 carbon only, no bound",
    )
    job.add_argument(
        "--hours", type=_number(0.1, 8784), default=72.0, help="the job's length at the reference limit (72)"
    )
    job.add_argument(
        "--start", metavar="TIME", type=_time, help="such as 2021-08-18T00:00Z (as early as the data allow)"
    )
    job.add_argument("--every", metavar="TIME", type=_duration(60), help="start again and again, such as 24h")
    job.add_argument(
        "--length",
        choices=["known", "unknown"],
        default="unknown",
        help="whether the planner knows when the job will end (unknown)",
    )
    job.add_argument("--gpus", type=_whole, default=1, help="how many GPUs the job has (1)")
    job.add_argument(
        "--product",
        metavar="NAME",
        help="the GPU, as nvidia-smi names it: where --curve learned begins (that of the example)",
    )
    job.add_argument(
        "--noise",
        metavar="PERCENT",
        type=_noise,
        default=0.0005,
        help="with --curve learned: how much the speed in one minute differs from that in another, all else equal (0.05%%)",
    )
    site = parser.add_argument_group("policy and site")
    site.add_argument(
        "--reference-limit", metavar="WATTS", type=_number(1, 10_000), help="the limit before (the curve's highest)"
    )
    site.add_argument(
        "--min-percent",
        metavar="PERCENT",
        type=_number(1, 100),
        default=50.0,
        help="the lowest limit that may be set, in percent of the reference limit (50)",
    )
    site.add_argument(
        "--host-watts", metavar="WATTS", type=_number(0, 100_000), default=0.0, help="power beside each GPU (0)"
    )
    site.add_argument("--pue", type=_number(1, 10), default=1.0, help="the site's power usage effectiveness (1.0)")
    site.add_argument(
        "--grace", metavar="SECONDS", type=_number(0, 86_400), default=60.0, help="on top of the slowdown (60)"
    )
    site.add_argument(
        "--replan",
        metavar="TIME",
        type=_duration(10),
        default=timedelta(minutes=5),
        help="how often a plan is made afresh (5m)",
    )
    out = parser.add_argument_group("output")
    out.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    out.add_argument("--plot", metavar="FILE.png", type=_picture, help="draw the first run")


def _slowdown(text: str) -> float:
    try:
        return parse_percent(text)
    except InvalidSpec:
        raise ArgumentTypeError(f"{text!r} is no percentage from 0% to 100% with its sign, such as 3%") from None


def _noise(text: str) -> float:
    try:
        return parse_percent(text)
    except InvalidSpec:
        raise ArgumentTypeError(f"{text!r} is no percentage from 0% to 100% with its sign, such as 0.1%") from None


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ArgumentTypeError(f"{text!r} is no number from {low:g} to {high:g}")
        return value

    return read


def _whole(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise ArgumentTypeError(f"{text!r} is no whole number above zero")
    return int(text)


def _duration(shortest_s: float) -> Callable[[str], timedelta]:
    def read(text: str) -> timedelta:
        found = re.fullmatch(r"([0-9]{1,6}(?:[.][0-9]{1,3})?)([smhd])", text)
        seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
        if seconds < shortest_s:
            raise ArgumentTypeError(f"{text!r} is no time such as 30m, 24h or 7d, of at least {shortest_s:g} seconds")
        return timedelta(seconds=seconds)

    return read


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} is no time with its offset, such as 2021-08-18T00:00Z")
    return found.astimezone(UTC)


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise ArgumentTypeError(f"{text!r} does not end in .png")
    if not path.absolute().parent.is_dir():
        raise ArgumentTypeError(f"there is no folder {str(path.parent)!r} to write {path.name!r} to")
    return path
