"""What it costs not to know a job's curve, on every published curve; and what noisy profiling logs lead to.

    make bench-learn        (.venv/bin/python -m benchmarks.bench_learn [--workers N])

Writes docs/bench-learn.md and docs/bench-learn.png. Needs ../shared/data.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib as mpl
import numpy as np
from benchmarks import learn_replay, pages, plan_cells
from benchmarks.learn_cells import (
    HOURS,
    NOISES,
    QUIET,
    RULES,
    SLOWDOWN,
    STARTS,
    USUAL,
    Outcome,
    by_memory,
    by_noise,
    by_whole_steps,
    traits_at,
    without_progress,
)
from matplotlib.figure import Figure

from carbonzeus_cli.simulate.job import Job
from carbonzeus_cli.simulate.learning import learn, learned_points
from carbonzeus_cli.simulate.truth import Meter
from carbonzeus_operator.plan.estimator import CONFIDENCE, Learner
from carbonzeus_operator.plan.prior import Prior

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIRST, SECOND = 0.985, 0.995
"""What a first and a second run should reach of the savings with the known curve."""
DRAWN_H = (0.5, 2.0, 24.0)


def main() -> None:
    """Run everything and write the page."""
    workers = pages.workers(__doc__)
    began = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver")) as pool:
        noises, memories, paces, clocks = by_noise(pool), by_memory(pool), by_whole_steps(pool), without_progress(pool)
    lines = [
        *_heading(),
        *_networks(noises),
        *_noises(noises),
        *_memories(memories),
        *_paces(paces),
        *_clocks(clocks),
        *_replayed(),
    ]
    lines.append(f"Measured in {(time.monotonic() - began) / 60:.1f} minutes by `make bench-learn`.")
    (DOCS / "bench-learn.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _draw(DOCS / "bench-learn.png")
    print(f"wrote {DOCS / 'bench-learn.md'}")


def _heading() -> Iterator[str]:
    yield "# What a learned curve costs"
    yield ""
    yield (
        f"Jobs of {HOURS:g} hours of unknown length at {100 * SLOWDOWN:g} %, on the grid of California with its real forecasts, {STARTS} starts each. The curve is a"
        " published one (Zeus, NSDI '23), which only the simulated board knows. *Simulated* are the noise of the windows, an evaluation of a minute every hour, and a speed that wanders by itself;"
        " steps are counted as the SDK counts them, with the part that is under way. [curves.md](curves.md) says how it is learned."
    )
    yield ""


def _networks(noises: Mapping[float, Sequence[Outcome]]) -> Iterator[str]:
    yield "## By network"
    yield ""
    yield (
        f"*Kept* is of the savings with the known curve; in bold what misses {100 * FIRST:g} % in a first run, {100 * SECOND:g} % in the next. Noise is that of a window of a minute;"
        f" time spent in windows, and how far any run was behind the bound at its worst moment, at {100 * USUAL:g} %."
    )
    yield ""
    heads = [f"{run} run, noise {100 * noise:g} %" for noise in (QUIET, USUAL) for run in ("first", "second")]
    yield f"| GPU | network | saved, curve known | {' | '.join(heads)} | measuring, first | second | most behind (grace {RULES.grace_s:g} s) |"
    yield f"|---|---|{'--:|' * 8}"
    for quiet, usual in zip(noises[QUIET], noises[USUAL], strict=True):
        kept = [
            cell
            for each in (quiet, usual)
            for cell in (_kept(each, each.first, FIRST), _kept(each, each.second, SECOND))
        ]
        one_s, two_s = usual.profiled_s
        yield (
            f"| {usual.cell.gpu} | {usual.cell.network} | {100 * usual.known:.2f} % | {' | '.join(kept)} | {one_s / 60:.0f} min | {two_s / 60:.0f} min"
            f" | {usual.most_behind_s:.0f} s |"
        )
    yield ""


def _kept(outcome: Outcome, saved: float, goal: float) -> str:
    share = outcome.share(saved)
    if share is None:
        return f"nothing to save ({100 * saved:+.2f} %)"
    return f"{100 * share:.1f} %" if share >= goal else f"**{100 * share:.1f} %**"


def _noises(noises: Mapping[float, Sequence[Outcome]]) -> Iterator[str]:
    yield "## By noise"
    yield ""
    yield "Of all networks with something to save: the mean of what is kept, and the least."
    yield ""
    told = (((f"{100 * noise:g} %", f"{100 * NOISES[noise]:g} %"), outcomes) for noise, outcomes in noises.items())
    yield from _over(("noise in a minute", "wanders in an hour"), told)


def _memories(memories: Mapping[tuple[float, float], Sequence[Outcome]]) -> Iterator[str]:
    yield "## Where noise lasts"
    yield ""
    yield "Above, noise is forgotten at once. Here it is forgotten by a factor of e in so long: neighbouring windows are alike, and what lies further apart differs by more."
    yield ""
    told = (((f"{100 * noise:g} %", f"{time_s:g} s"), outcomes) for (noise, time_s), outcomes in memories.items())
    yield from _over(("noise in a minute", "lasts"), told)


def _paces(paces: Mapping[float, Sequence[Outcome]]) -> Iterator[str]:
    yield "## Where whole steps are counted"
    yield ""
    yield f"And nobody knows when they end; noise {100 * USUAL:g} %. An agent that looks each second knows better where a step takes longer than that: this is what it would be without."
    yield ""
    yield from _over(("steps a second",), (((f"{pace:g}",), outcomes) for pace, outcomes in paces.items()))


def _over(kinds: Sequence[str], told: Iterable[tuple[Sequence[str], Sequence[Outcome]]]) -> Iterator[str]:
    """A table over kinds of jobs, a row each: what is kept of all networks, in the mean and at least. kinds: what tells them apart."""
    heads = (*kinds, "first run", "worst network", "second run", "worst network", "bound broken")
    yield f"| {' | '.join(heads)} |"
    yield f"|{'--:|' * len(heads)}"
    for kind, outcomes in told:
        yield f"| {' | '.join((*kind, *_shares(outcomes)))} |"
    yield ""


def _shares(outcomes: Sequence[Outcome]) -> Iterator[str]:
    judged = [each for each in outcomes if each.known > 0.001]
    for shares in ([each.first / each.known for each in judged], [each.second / each.known for each in judged]):
        yield f"{100 * float(np.mean(shares)):.1f} %"
        yield f"{100 * min(shares):.1f} %"
    broken = sum(each.most_behind_s > RULES.grace_s + 1e-3 for each in outcomes)
    most_s = max(each.most_behind_s for each in outcomes)
    yield f"{broken} of {len(outcomes)} (most {most_s:.0f} s)"


def _clocks(clocks: Mapping[float, Sequence[Outcome]]) -> Iterator[str]:
    yield "## Jobs that report no progress"
    yield ""
    yield (
        "Then the lower of the SM and memory clocks bounds r from below. The published data have no clocks, so this is *assumed*: the clock goes with r to a"
        " power. 1 is a job that hangs on the clock alone; at 2 half of its time does not. Kept in a second run, by network."
    )
    yield ""
    yield f"| GPU | network | {' | '.join(f'clock = r^{power:g}' for power in clocks)} |"
    yield f"|---|---|{'--:|' * len(clocks)}"
    for row in zip(*clocks.values(), strict=True):
        shares = [each.share(each.second) for each in row]
        told = " | ".join("-" if share is None else f"{100 * share:.0f} %" for share in shares)
        yield f"| {row[0].cell.gpu} | {row[0].cell.network} | {told} |"
    worst = max(each.most_behind_s for outcomes in clocks.values() for each in outcomes)
    yield ""
    yield (
        f"The bound was broken in none: the most that any was behind is {worst:.0f} s of {RULES.grace_s:g}."
        if worst <= RULES.grace_s
        else f"**The bound was broken: {worst:.0f} s.**"
    )
    yield ""


def _replayed() -> Iterator[str]:
    yield "## Real profiling logs, replayed"
    yield ""
    yield (
        "Six logs of just-in-time profiling on A40s (Zeus, 2023), one short window a limit. *Backwards*: windows that look slower than one at a lower limit."
        " *Zeus*: what its two rules pick from the log as it is. *Here*: the lowest limit that is at most 3 % slower for sure, were these windows all there is;"
        " the learned r of some limits with what it is at least."
    )
    yield ""
    yield "| log | backwards | noise | Zeus, eta 0.5 | Zeus, 3 % slower | here | r, and at least: 250 W | 200 W | 150 W |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for each in learn_replay.decisions():
        told = {limit_w: f"{r:.3f} ({low:.3f})" for limit_w, r, low in each.learned}
        yield (
            f"| {each.log} | {each.backwards} | {100 * each.noise:.1f} % | {each.by_cost_w:.0f} W | {each.by_slowdown_w:.0f} W | {each.ours_w:.0f} W"
            f" | {told[250]} | {told[200]} | {told[150]} |"
        )
    yield ""


def _draw(path: Path) -> None:
    """One curve being learned: after half an hour, two hours, a day."""
    mpl.use("Agg")
    curve = plan_cells.curves()["A40", "resnet50", 128]
    where = plan_cells.grid("2021 CISO")
    figure = Figure(figsize=(10.5, 3.8), dpi=130, layout="constrained")
    panels = figure.subplots(1, len(DRAWN_H), sharey=True)
    for axes, hours in zip(panels, DRAWN_H, strict=True):
        learner = Learner.begin(Prior.of("NVIDIA A40", 300, 150))
        job = Job(curve, hours * 3600, SLOWDOWN, rules=RULES)
        lesson = learn(job, where.feed, where.starts[0], learner, Meter(curve, traits_at(USUAL), random.Random(1)))  # noqa: S311 - noise
        points = learned_points(curve, lesson.learner)
        limits_w = [point.limit_w for point in points]
        axes.plot(limits_w, [point.true_r for point in points], color="black", linewidth=1, label="true")
        low, high = [point.r_low for point in points], [point.r_high for point in points]
        axes.fill_between(
            limits_w, low, high, color="#1f77b4", alpha=0.25, label=f"±{CONFIDENCE:g} standard deviations"
        )
        known = [point for point in points if point.known]
        axes.plot(
            [point.limit_w for point in known],
            [point.r for point in known],
            "o",
            color="#1f77b4",
            label="learned, may be planned",
        )
        worst = max((point.r - point.r_low for point in known), default=math.nan)
        axes.set_title(f"after {hours:g} h (known to {100 * worst:.2f} %)", loc="left", fontsize=10)
        axes.set_xlabel("power limit [W]")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("r, relative to the reference limit")
    panels[0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path)


if __name__ == "__main__":
    main()
