"""Sources that stand in for each other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.breaker import State
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.fallback import Fallback, Link
from carbonzeus_operator.grid.series import Factor, Signal
from tests.unit.grid.chain import AWAY, MATTER, Chain, Stub
from tests.unit.grid.samples import KEY, ZONE, Watch, at


@pytest.fixture
def chain() -> Chain:
    return Chain()


async def test_the_first_answers_and_the_second_is_not_asked(chain: Chain) -> None:
    """While all is well, nobody is told of more than one source."""
    series = await chain.ask()
    assert (series.source, series.warnings, chain.two.asked) == ("One", (), 0)
    assert chain.fallback.answering[MATTER].name == "One"


async def test_the_second_answers_while_the_first_does_not(chain: Chain) -> None:
    """Who and since when is told, until the first is there again."""
    await chain.ask()
    chain.one.fails = AWAY
    chain.watch.pass_(600)
    series = await chain.ask()
    assert (series.source, series.intervals[0].gco2_per_kwh) == ("Two", 100.0)
    told = (
        "Two answers since 2026-11-24T12:10:00Z, because One fails since 2026-11-24T12:10:00Z (it answered with 503)",
    )
    assert series.warnings == told
    chain.watch.pass_(600)
    assert (await chain.ask()).warnings == told
    chain.one.fails = None
    series = await chain.ask()
    assert (series.source, series.warnings) == ("One", ())
    answering = chain.fallback.answering[MATTER]
    assert (answering.name, answering.since) == ("One", at(1 / 3))


async def test_when_nobody_answers_all_say_why(chain: Chain) -> None:
    """And since when."""
    chain.one.fails = AWAY
    chain.two.fails = Unavailable("it did not answer within 10 s", retry_after_s=5)
    with pytest.raises(Unavailable) as raised:
        await chain.ask()
    assert str(raised.value) == (
        f"no provider has the forecast of zone {ZONE}: One fails since 2026-11-24T12:00:00Z (it answered with 503); "
        "Two fails since 2026-11-24T12:00:00Z (it did not answer within 10 s)"
    )
    assert raised.value.retry_after_s is None  # One may be asked again before
    assert chain.fallback.answering[MATTER].name == ""


async def test_one_source_alone_speaks_for_itself(chain: Chain) -> None:
    """Its own error comes through, with the time that it asked for."""
    link = chain.fallback.links[0]
    chain.one.fails = Unavailable("asked too often", retry_after_s=70)
    with pytest.raises(Unavailable, match=r"^asked too often$") as raised:
        await Fallback([link], chain.watch, 60).forecast(*KEY)
    assert raised.value.retry_after_s == 70


# What is no failure, and what is one


@pytest.mark.parametrize("reason", ["InvalidZone", "UnsupportedSignal", "NoActual", "NoForecast"])
async def test_a_zone_that_the_first_does_not_have(chain: Chain, reason: str) -> None:
    """Is the second's, without a word, however often it is asked for."""
    chain.one.fails = InvalidSpec("no such zone", reason=reason)
    for _ in range(10):
        series = await chain.ask()
        assert (series.source, series.warnings) == ("Two", ())
    first = chain.fallback.links[0]
    assert first.breaker is not None
    assert (first.calls, first.errors, first.breaker.state(chain.watch())) == (10, 0, State.CLOSED)


async def test_a_question_that_the_first_refuses(chain: Chain) -> None:
    """Is told, because its address or an option may be wrong; but the source is there, and asked for other zones."""
    chain.one.fails = InvalidSpec("One refuses the forecast: 404", reason="GridDataRefused")
    for _ in range(10):
        series = await chain.ask()
        assert series.source == "Two"
        assert "One fails since 2026-11-24T12:00:00Z (One refuses the forecast: 404)" in series.warnings[0]
    first = chain.fallback.links[0]
    assert first.breaker is not None
    assert (first.calls, first.errors, first.breaker.state(chain.watch())) == (10, 10, State.CLOSED)


async def test_a_zone_that_nobody_has(chain: Chain) -> None:
    """Is for somebody to mend."""
    chain.one.fails = InvalidSpec("One has no such zone", reason="InvalidZone")
    chain.two.fails = InvalidSpec("Two has no such zone", reason="InvalidZone")
    with pytest.raises(InvalidSpec, match="One has no such zone; Two has no such zone") as raised:
        await chain.ask()
    assert raised.value.reason == "InvalidZone"


async def test_a_signal_that_nobody_gives(chain: Chain) -> None:
    """Asks nobody."""
    links = [Link("One", chain.one, Factor.LIFECYCLE, frozenset({Signal.AVERAGE}))]
    with pytest.raises(InvalidSpec, match=r"no provider in grid\.providers serves zone X with the signal Marginal"):
        await Fallback(links, chain.watch, 60).forecast("X", Signal.MARGINAL)
    assert chain.one.asked == 0


def _negative(chain: Chain) -> None:
    chain.one.values = (5.0, -1.0)


def _empty(chain: Chain) -> None:
    chain.one.values = ()


def _other_factor(chain: Chain) -> None:
    chain.one.factor = Factor.DIRECT


def _crash(chain: Chain) -> None:
    chain.one.fails = KeyError("x")


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (_negative, r"what One says of US-CAL-CISO cannot be used: .* has -1.0 g/kWh"),
        (_empty, "the forecast of One for US-CAL-CISO does not cover the present"),
        (_other_factor, "One gives Direct grams, where Lifecycle was to be expected"),
        (_crash, r"One failed unexpectedly: KeyError\('x'\); the log says where"),
    ],
)
async def test_an_answer_that_cannot_be_used(chain: Chain, breaks: Callable[[Chain], None], words: str) -> None:
    """Is a failure like any other: the second answers."""
    breaks(chain)
    series = await chain.ask()
    assert (series.source, chain.fallback.links[0].errors) == ("Two", 1)
    assert re.search(words, series.warnings[0])


async def test_a_forecast_that_nobody_renews(chain: Chain) -> None:
    """Gives way to a newer one; where there is none, the newest is better than nothing."""
    chain.one.issued_ago_s = 7 * 3600
    series = await chain.ask()
    assert series.source == "Two"
    assert "(its newest forecast is of 2026-11-24T05:00:00Z)" in series.warnings[0]
    chain.two.issued_ago_s = 8 * 3600
    series = await chain.ask()
    assert series.source == "One"
    assert "Two fails since 2026-11-24T12:00:00Z (its newest forecast is of 2026-11-24T04:00:00Z)" in series.warnings[0]


# What may stand in for what


def link(name: str, factor: Factor, signals: set[Signal] | None = None, zones: set[str] | None = None) -> Link:
    """A link that nobody asks."""
    return Link(
        name, Stub(name, Watch()), factor, frozenset(signals or Signal), frozenset(zones) if zones is not None else None
    )


@pytest.mark.parametrize(
    "other",
    [
        link("Two", Factor.DIRECT),
        link("Two", Factor.DIRECT, {Signal.AVERAGE}),
        link("Two", Factor.DIRECT, zones={"GB", "DE"}),
    ],
    ids=["everything", "one signal", "one zone"],
)
def test_another_factor_is_refused_at_the_start(other: Link) -> None:
    """Where both might answer for the same zone."""
    message = "One gives Lifecycle grams and Two gives Direct grams of the same signal, so that neither can stand in"
    with pytest.raises(InvalidSpec, match=message) as refused:
        Fallback([link("One", Factor.LIFECYCLE, zones={"DE"} if other.zones else None), other], Watch(), 60)
    assert refused.value.reason == "MixedFactors"


async def test_what_was_kept_of_another_factor_is_not_used_after_a_change(tmp_path: Path) -> None:
    """Of the same factor it is, whoever gave it."""
    chain = Chain()
    for fallback, used in (
        (chain.fallback, True),
        (Fallback([Link("Three", chain.one, Factor.DIRECT)], chain.watch, 60), False),
    ):
        chain.one.fails = None
        first = GridCache(chain.fallback, tmp_path, 300, now=chain.watch)
        await first.refresh({KEY: None})
        await first.close()
        chain.one.fails = chain.two.fails = AWAY
        second = GridCache(fallback, tmp_path, 300, now=chain.watch)
        await second.refresh({KEY: None})
        view = second.views()[KEY]
        assert ((view.forecast is not None), (view.actual is not None)) == (used, used)
        await second.close()


async def test_other_factors_side_by_side() -> None:
    """Of other signals, or of other zones."""
    watch = Watch()
    german, british = Stub("One", watch), Stub("Two", watch, factor=Factor.DIRECT)
    links = [
        Link("One", german, Factor.LIFECYCLE, frozenset({Signal.AVERAGE}), frozenset({"DE"})),
        Link("Two", british, Factor.DIRECT, frozenset({Signal.AVERAGE}), frozenset({"GB"})),
        link("Three", Factor.DIRECT, {Signal.MARGINAL}),
    ]
    fallback = Fallback(links, watch, 60)
    assert (await fallback.forecast("GB", Signal.AVERAGE)).source == "Two"
    assert (await fallback.actual("DE", Signal.AVERAGE, at(0), at(1))).source == "One"
    assert (german.asked, british.asked) == (1, 1)
