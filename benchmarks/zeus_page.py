"""The page of the benchmark against Zeus: every figure computed, every verdict from the figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import zeus_cells
from benchmarks.zeus_account import Reading
from benchmarks.zeus_cells import NETWORK, PRODUCT, PUBLISHED, SELECTORS, SLOWDOWN, ByUs, ByZeus, Cell, Outcome
from benchmarks.zeus_energy import Readings
from benchmarks.zeus_stage import NOISE, NOISE_MEMORY_S

APART = 0.005
"""By how much two readings of the same energy may differ."""


@dataclass(frozen=True, slots=True)
class Row:
    """One pace, on both sides."""

    cell: Cell
    zeus: Sequence[ByZeus]
    ours: ByUs

    @property
    def is_shorter(self) -> bool:
        """Whether ours profiles for less time than Zeus."""
        return self.ours.outcome.profiling.seconds < self.zeus_s

    @property
    def is_shorter_in_all(self) -> bool:
        """The same, with the later windows at the reference limit."""
        return self.ours.outcome.profiling.seconds + self.ours.refining.seconds < self.zeus_s

    @property
    def zeus_s(self) -> float:
        """How long Zeus profiles at least."""
        return min(each.outcome.profiling.seconds for each in self.zeus)

    @property
    def is_less_unwanted(self) -> bool:
        """Whether ours is at limits that nobody wants for less time."""
        return self.ours.outcome.unwanted.seconds < min(each.outcome.unwanted.seconds for each in self.zeus)

    @property
    def is_less_delay(self) -> bool:
        """Whether measuring delays the job less."""
        return self.ours.outcome.profiling.delay_s < min(each.outcome.profiling.delay_s for each in self.zeus)


def agree(readings: Readings) -> bool:
    """Whether both read the same energy, in each window and in all of them."""
    return all(abs(each.apart) <= APART for each in (*readings.windows, readings.whole))


def page(rows: Sequence[Row], readings: Readings, grace_s: float, minutes: float) -> Iterator[str]:
    """Markdown, line by line."""
    yield from _heading(rows)
    yield from _verdicts(rows, readings, grace_s)
    yield from _profiling(rows, grace_s)
    yield from _choice(rows)
    yield from _energy(readings)
    yield from _method(rows, grace_s)
    yield f"Measured in {minutes:.1f} minutes by `make bench-zeus`."


def _heading(rows: Sequence[Row]) -> Iterator[str]:
    version = rows[0].zeus[0].version
    yield "# Side by side with Zeus"
    yield ""
    yield (
        f"Written by `make bench-zeus`; every figure is computed. [Zeus](https://github.com/ml-energy/zeus) {version} is the real package, in its own process, the node agent is"
        f" the real one too, and both sit on emulated boards of the same kind ({PRODUCT}, the published curve of {NETWORK.partition('-')[2]}), each with a board of its own that"
        f" begins at its default limit and trains the same, at three paces: {PUBLISHED:g} steps/s is that of the published run, ResNet-50 with 128 images a step. Zeus is a measuring tool and this page is no contest: it profiles once and quickly, and promises no bound;"
        f" carbonzeus keeps a job within {100 * SLOWDOWN:g} % at every moment, and takes its time for that."
    )
    yield ""


def _verdicts(rows: Sequence[Row], readings: Readings, grace_s: float) -> Iterator[str]:
    worst = max(abs(each.apart) for each in (*readings.windows, readings.whole))
    verdict = "agree" if agree(readings) else "**do not agree**"
    yield f"* **Energy**: both readings of the same board {verdict} within {100 * APART:g} %: they differ by {100 * worst:.2f} % at most."
    behind_s = max(row.ours.outcome.most_behind_s for row in rows)
    kept = "kept it at every pace" if behind_s <= grace_s else "**broke it**"
    broke = [_pace(row.cell) for row in rows if any(each.outcome.most_behind_s > grace_s for each in row.zeus)]
    theirs = f"Zeus's profile goes beyond it at {_listed(broke)}" if broke else "Zeus's profile stays within it as well"
    yield (
        f"* **Any-time bound** (at most {grace_s:g} s of work behind a job that is {100 * SLOWDOWN:g} % slower): ours {kept}, at most {behind_s:.0f} s behind. {theirs}."
    )
    delay = [row.is_less_delay for row in rows]
    yield f"* **Delay by profiling**: {_compared(rows, delay, 'smaller with ours', 'larger with ours')}."
    unwanted = [row.is_less_unwanted for row in rows]
    yield f"* **Time spent at limits below the choice**: {_compared(rows, unwanted, 'less with ours', 'more with ours')}."
    shorter = [row.is_shorter for row in rows]
    missed = _paces(rows, shorter, ours=False)
    yield (
        f"* **Time spent in profiling**: {_compared(rows, shorter, 'less with ours', 'more with ours')}. It was a goal of ours to spend less than Zeus does by default"
        f"{f'; **at {missed} that is missed**' if missed else ''}."
    )
    in_all = [row.is_shorter_in_all for row in rows]
    yield f"* **The same with all later windows at full speed**, which delay nothing and make the curve surer: {_compared(rows, in_all, 'less with ours', 'more with ours')}."
    yield ""


def _paces(rows: Sequence[Row], less: Sequence[bool], *, ours: bool) -> str:
    """The paces at which ours is the one with less, or is not; empty where there are none."""
    return _listed([_pace(row.cell) for row, is_less in zip(rows, less, strict=True) if is_less is ours])


def _compared(rows: Sequence[Row], less: Sequence[bool], better: str, worse: str) -> str:
    told = ((better, _paces(rows, less, ours=True)), (worse, _paces(rows, less, ours=False)))
    return ", ".join(f"{words} at {paces}" for words, paces in told if paces)


def _profiling(rows: Sequence[Row], grace_s: float) -> Iterator[str]:
    yield "## What profiling costs"
    yield ""
    yield (
        "*Profiling*: Zeus from its first limit to its choice; ours all windows but the warm-up until the last new limit is known, and later ones below the reference limit. *Below the reference limit* is the part of it that slows the job; some of it would be, with ours, if nothing were measured, since plans hold such limits too. *Below the choice*: at limits below the one that is chosen; with ours below the lowest that any of its plans held (all of it where it made none). *Energy beyond*: what was"
        " drawn in it less what the same steps take at the reference limit; negative is saved. *Delay*: how much later the job ends for it. *Most behind*: at the worst moment, Zeus until its choice, ours in all hours."
    )
    yield ""
    yield f"| pace | who | profiling | steps | below the reference limit | below the choice | energy | energy beyond | delay | most behind ({grace_s:g} s allowed) | beyond the bound for |"
    yield "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for row in rows:
        for each in row.zeus:
            yield _profiled(row.cell, SELECTORS[each.selector], each.outcome, grace_s)
        yield _profiled(row.cell, f"ours, {row.cell.hours:g} h", row.ours.outcome, grace_s)
    yield ""
    yield "Ours does not wait for a choice: it saves with the limits that it knows while it looks at the next one. Later it holds the reference limit now and then, since all r are relative to it:"
    yield ""
    yield "| pace | first below the reference limit after | the last new limit is known after | later windows at the reference limit | limits known at the end |"
    yield "|--:|--:|--:|--:|---|"
    for row in rows:
        us = row.ours
        known = ", ".join(f"{limit_w:g}" for limit_w in us.known_w)
        yield (
            f"| {_pace(row.cell)} | {us.first_saved_s / 60:.0f} min | {us.settled_s / 60:.0f} min | {us.refining.seconds / 60:.0f} min"
            f" | {f'{known} W' if known else 'none'} |"
        )
    yield ""


def _profiled(cell: Cell, who: str, outcome: Outcome, grace_s: float) -> str:
    cost, extra_j = outcome.profiling, outcome.profiling.extra_joules(zeus_cells.reference_w())
    behind = f"{outcome.most_behind_s:.0f} s"
    return (
        f"| {_pace(cell)} | {who} | {cost.seconds:.0f} s | {outcome.steps:.0f} | {outcome.slowed.seconds:.0f} s | {outcome.unwanted.seconds:.0f} s | {cost.joules / 1000:.1f} kJ | {extra_j / 1000:+.1f} kJ"
        f" | {cost.delay_s:.0f} s | {f'**{behind}**' if outcome.most_behind_s > grace_s else behind} | {outcome.beyond_s:.0f} s |"
    )


def _choice(rows: Sequence[Row]) -> Iterator[str]:
    reference_w = zeus_cells.reference_w()
    yield "## What is chosen, and what comes of it"
    yield ""
    yield (
        "The job's first hours with all of the above in them. Zeus holds its choice to the end; what comes after it is computed from the emulated board's curve, which is exact. Ours follows plans, on a grid that is always the same,"
        " so that nothing is in it that Zeus could not have."
    )
    yield ""
    yield "| pace | who | limit | slowdown at it | energy saved at it | first hours | slowdown in them | energy saved in them |"
    yield "|--:|---|--:|--:|--:|--:|--:|--:|"
    for row in rows:
        hours = f"{row.cell.hours:g} h"
        for each in row.zeus:
            watts, r = zeus_cells.at(each.choice_w)
            whole = each.outcome.whole
            yield (
                f"| {_pace(row.cell)} | {SELECTORS[each.selector]} | {each.choice_w} W | {100 * (1 / r - 1):.1f} % | {100 * (1 - watts / r / reference_w):.1f} % | {hours}"
                f" | {100 * whole.slowdown:.1f} % | {100 * whole.saved(reference_w):.1f} % |"
            )
        whole = row.ours.outcome.whole
        yield f"| {_pace(row.cell)} | ours, {100 * SLOWDOWN:g} % | plans | | | {hours} | {100 * whole.slowdown:.1f} % | {100 * whole.saved(reference_w):.1f} % |"
    yield ""


def _energy(readings: Readings) -> Iterator[str]:
    yield "## Energy"
    yield ""
    yield (
        f"One board, in real time, its limit changed {readings.changes} times by a plan: windows of ZeusMonitor, and the agent's ledger summed over the same windows. The board itself knows best."
    )
    yield ""
    yield "| window | ZeusMonitor | our ledger | ours against Zeus | Zeus against the board | ours against the board |"
    yield "|---|--:|--:|--:|--:|--:|"
    for number, each in enumerate(readings.windows, 1):
        yield _read(f"{number}, {each.seconds:.0f} s", each)
    yield _read(f"all, {readings.whole.seconds:.0f} s", readings.whole)
    yield ""


def _read(name: str, each: Reading) -> str:
    return (
        f"| {name} | {each.zeus:.0f} J | {each.ours:.0f} J | {100 * each.apart:+.2f} % | {100 * (each.zeus / each.true - 1):+.2f} %"
        f" | {100 * (each.ours / each.true - 1):+.2f} % |"
    )


def _method(rows: Sequence[Row], grace_s: float) -> Iterator[str]:
    zeus = rows[0].zeus[0]
    quicker = "; ".join(
        f"{_pace(row.cell)}: Zeus {row.cell.zeus_speed:g} times, ours {row.cell.ours_speed:g} times" for row in rows
    )
    yield "## How it was measured, and what it does not say"
    yield ""
    yield (
        f"* Zeus as it is by default: `GlobalPowerLimitOptimizer` waits 1 step, then goes from {zeus.limits_w[0]} W down to {zeus.limits_w[-1]} W, the board's least, in steps of 25 W ({len(zeus.limits_w)} limits), 10 steps to warm up and"
        " 40 measured at each. Only the selector differs. Its two runs are two processes on two boards. PyTorch is replaced by a few lines that say that the work is done (`benchmarks/zeus/torch.py`): there is no CUDA behind an emulated driver."
    )
    yield (
        "* Ours goes down to half of the reference limit at most, a policy's default. The loop around agent and learner is the benchmark's (`benchmarks/zeus_ours.py`), with the operator's functions for windows, credit and plans. A window counts until the agent has told of it."
    )
    yield (
        f"* Zeus's profile has a number of *steps*, ours takes *time*: windows of 20 seconds or more, and as many as it takes until r is known well enough to keep a bound of {grace_s:g} s with it. So the quicker the steps, the quicker Zeus. Ours counts as"
        " our SDK does, with the part of the step that is under way: of a counter of whole steps it takes longer where steps are slow."
    )
    yield (
        "* A saved Zeus profile is loaded by the next run and costs it nothing. What ours learned costs the next run some minutes ([bench-learn.md](bench-learn.md))."
    )
    yield (
        f"* Emulated hardware, quicker than the job that it stands for: seconds on this page are the job's, the clock on the wall saw them pass quicker ({quicker}). What a process takes by itself, milliseconds, counts as so many times"
        f" more, on either side. Speed and power of the boards wander by {100 * NOISE:g} % (forgotten within {NOISE_MEMORY_S:g} s); a real training is noisier, which lengthens ours and misleads Zeus's short windows ([bench-learn.md](bench-learn.md) has six real logs)."
    )
    yield ""


def _pace(cell: Cell) -> str:
    return f"{cell.pace:g} steps/s"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
