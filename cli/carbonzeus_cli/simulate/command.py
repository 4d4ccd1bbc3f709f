"""`carbonzeus simulate`: read, run, say."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import Progress

from carbonzeus_cli.simulate import curve_file, document, example, table
from carbonzeus_cli.simulate.history import Forecast, History
from carbonzeus_cli.simulate.job import Job
from carbonzeus_cli.simulate.learning import Learning, Lesson
from carbonzeus_cli.simulate.options import Options
from carbonzeus_cli.simulate.study import Study, solver_installed
from carbonzeus_cli.simulate.summary import Summary
from carbonzeus_cli.simulate.truth import Traits
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid import csvfile
from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.mixed import Overhead
from carbonzeus_operator.world.snapshot import Rules

T = TypeVar("T")
STALE_AFTER = timedelta(hours=6)
"""From when on a policy does not follow a forecast by default (staleForecast.afterMinutes)."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was simulated, and what came of it."""

    options: Options
    curve_source: str
    intensity_source: str
    study: Study
    starts: tuple[datetime, ...]
    summary: Summary
    notes: tuple[str, ...]
    """What a reader should know about the inputs."""
    lesson: Lesson | None = None
    """What the first start taught; None where the curve is known."""


def run(options: Options) -> None:
    """Simulates and prints. Raises CarbonzeusError for what cannot be used."""
    if options.plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise InvalidSpec("--plot needs matplotlib: pip install 'carbonzeus[plot]'", reason="MissingExtra")
    report = _simulated(options)
    if options.plot is not None:
        # Not at the top: matplotlib is an optional extra.
        from carbonzeus_cli.simulate import picture  # noqa: PLC0415

        _written(options.plot, lambda path: picture.draw(path, report.study, report.starts[0], report.intensity_source))
    if options.json:
        print(document.of(report))
    else:
        table.show(report, Console(highlight=False))


def _simulated(options: Options) -> Report:
    curve, curve_notes = _curve(options)
    history = _history(options)
    job = Job(
        curve=curve,
        work_s=options.hours * 3600,
        slowdown=options.slowdown,
        eta=options.eta,
        known=options.known,
        gpus=options.gpus,
        overhead=Overhead(options.host_w_per_gpu, options.pue),
        rules=replace(Rules(), grace_s=options.grace_s, replan=options.replan),
    )
    starts = history.starts(options.start, options.every, job.longest)
    learning = Learning(options.product, Traits(noise=options.noise)) if options.learned else None
    study = Study(job, history.actual, history.feed(job.rules.horizon), solver_installed(), learning)
    with _progress() as progress:
        runs = list(progress.track(study.all_runs(starts), total=len(starts), description="simulating"))
    return Report(
        options=options,
        curve_source=example.CURVE_SOURCE if options.curve is None else str(options.curve),
        intensity_source=example.INTENSITY_SOURCE if options.intensity is None else str(options.intensity),
        study=study,
        starts=tuple(starts),
        summary=Summary.of(runs, bounded=job.slowdown is not None),
        notes=(*curve_notes, *_notes(history)),
        lesson=study.lessons(starts[0])[0] if learning is not None else None,
    )


def _curve(options: Options) -> tuple[Curve, list[str]]:
    source = options.curve
    points = example.points() if source is None else _read(source, lambda lines: curve_file.parse(str(source), lines))
    reference_w = options.reference_limit_w or max(point.limit_w for point in points)
    try:
        curve = Curve.from_points(points, reference_w, minimum_w=reference_w * options.minimum_percent / 100)
    except InvalidSpec as error:
        raise InvalidSpec(f"{source or 'the built-in curve'}: {error}", reason=error.reason) from error
    return curve, [f"curve: {repair}" for repair in curve.repairs]


def _history(options: Options) -> History:
    source = options.intensity
    if source is None:
        return History.of(example.recording(), options.forecast)
    return History.of(_read(source, lambda lines: csvfile.parse(str(source), lines)), options.forecast)


def _notes(history: History) -> list[str]:
    issues = list(history.recording.issues)
    if history.forecast is Forecast.YESTERDAY:
        return []
    if not issues:
        return ["the file has no forecasts: its rows are known ahead, as far as they go (or say --forecast yesterday)"]
    apart = max((after - before for before, after in pairwise(issues)), default=timedelta(0))
    if apart <= STALE_AFTER:
        return []
    minutes, usual = (f"{span / timedelta(minutes=1):g}" for span in (apart, STALE_AFTER))
    advice = f"a policy needs staleForecast.afterMinutes: {minutes} for that, instead of {usual}"
    return [f"each forecast is followed until the next one, up to {apart / timedelta(hours=1):g} h: {advice}"]


def _read(path: Path, parse: Callable[[TextIO], T]) -> T:
    try:
        # What is no text in a cell makes that cell wrong, and so gets a line number.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            return parse(lines)
    except OSError as error:
        raise InvalidSpec(f"{path} cannot be read: {error.strerror or error}", reason="Unreadable") from error


def _written(path: Path, write: Callable[[Path], None]) -> None:
    try:
        write(path)
    except OSError as error:
        raise InvalidSpec(f"{path} cannot be written: {error.strerror or error}", reason="Unwritable") from error


def _progress() -> Progress:
    """On a terminal's stderr only: whoever reads the output reads nothing else."""
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
