"""The windows a belief was made from, so that it can be made anew when their noise turns out to be another. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from carbonzeus_operator.plan.estimator_filter import Belief
from carbonzeus_operator.plan.estimator_noise import Noise
from carbonzeus_operator.plan.estimator_stretch import Stretch, Stretches

LONGEST_S = 900.0
"""Windows that follow each other at one limit are one, up to so long: a counter's grain is at its two ends only."""
REMEMBERED = 96
"""Windows kept; what older ones taught stays as it is."""
RECONSIDER = 1.15
"""When the noise is so much larger or smaller than believed, what the kept windows teach is worked out anew."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A belief, how noisy its windows were taken to be, and the last of them."""

    belief: Belief
    at_s: float = 0.0
    """Up to when the belief is aged."""
    first: tuple[Belief, float] | None = None
    """The belief before the kept windows, and up to when it is aged; None where there are none."""
    latest: tuple[Belief, float] | None = None
    """Before the last of them."""
    lessons: tuple[Stretch, ...] = ()
    last: Stretch | None = None
    """The last window as it came, not put together with others."""
    stretches: Stretches = field(default_factory=Stretches)
    """What tells of the noise."""
    noise: Noise = field(default_factory=Noise)
    """As learned by now."""
    believed: Noise = field(default_factory=Noise)
    """As it was when the belief was made."""

    def aged(self, at_s: float) -> Memory:
        """At a later time."""
        return replace(self, belief=self.belief.aged(at_s - self.at_s, self.believed.wander), at_s=max(at_s, self.at_s))

    def told(self, lesson: Stretch) -> Memory:
        """After a window."""
        first, latest, lessons = self.first or (self.belief, self.at_s), self.latest, self.lessons
        joined = _joined(lessons[-1], lesson) if lessons else None
        if joined is not None:
            lessons = (*lessons[:-1], joined)
        else:
            latest = self.belief, self.at_s
            lessons = (*lessons, lesson)
        if len(lessons) > REMEMBERED:
            first, lessons = _taught(first, lessons[:1], self.believed), lessons[1:]
        heard, believed = self.heard(lesson), self.believed
        noise = heard.noise
        if noise.unlike(believed, RECONSIDER):
            believed = noise
            latest = _taught(first, lessons[:-1], noise)
        assert latest is not None
        belief, at_s = _taught(latest, lessons[-1:], believed)
        return Memory(
            belief.aged(self.at_s - at_s, believed.wander),
            max(at_s, self.at_s),
            first,
            latest,
            lessons,
            lesson,
            heard.stretches,
            noise,
            believed,
        )

    def heard(self, window: Stretch) -> Memory:
        """After a window that teaches nothing but how noisy the job is."""
        stretches, pairs = self.stretches.told(window)
        noise = self.noise
        for one, other in pairs:
            noise = noise.told(one, other)
        return replace(self, stretches=stretches, noise=noise)

    def forgotten(self) -> Memory:
        """Without the last window: the one after it tells that something was going on."""
        if self.last is None or self.first is None:
            return self
        whole, last = self.lessons[-1], self.last
        rest = replace(whole, seconds=whole.seconds - last.seconds, steps=whole.steps - last.steps)
        lessons = (*self.lessons[:-1], rest) if rest.seconds > 0 and rest.steps > 0 else self.lessons[:-1]
        latest = _taught(self.first, lessons[:-1], self.believed)
        belief, at_s = _taught(latest, lessons[-1:], self.believed)
        aged = belief.aged(self.at_s - at_s, self.believed.wander)
        return replace(self, belief=aged, latest=latest, lessons=lessons, last=None)

    def shaken(self, doubt: float, log_rate: float = 0.0) -> Memory:
        """Something changed, and nobody knows what."""
        return Memory(self.belief.shaken(doubt, log_rate), self.at_s, noise=self.noise, believed=self.noise)


def _joined(one: Stretch, other: Stretch) -> Stretch | None:
    """Both as one; None where they are not next to each other, at two limits, or too long."""
    fits = one.is_next_to(other) and one.seconds + other.seconds <= LONGEST_S
    return one.and_then(other) if fits else None


def _taught(before: tuple[Belief, float], lessons: Sequence[Stretch], noise: Noise) -> tuple[Belief, float]:
    """(the belief after windows, up to when it is aged)."""
    belief, at_s = before
    for lesson in lessons:
        belief = belief.aged(lesson.end_s - at_s, noise.wander)
        belief = belief.told(
            lesson.limit_w, lesson.log_rate, noise.variance(lesson.seconds, lesson.steps, lesson.grain)
        )
        at_s = max(at_s, lesson.end_s)
    return belief, at_s
