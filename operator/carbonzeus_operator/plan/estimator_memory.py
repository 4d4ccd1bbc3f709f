"""The windows a belief was made from, so that it can be made anew when their noise turns out to be another. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from carbonzeus_operator.plan.estimator_filter import Belief
from carbonzeus_operator.plan.estimator_noise import Noise

LONGEST_S = 900.0
"""Windows that follow each other at one limit are one, up to so long: a counter's grain is at its two ends only."""
LONG_S = 600.0
"""Shorter ones say too little of how a job's speed wanders."""
REMEMBERED = 96
"""Windows kept; what older ones taught stays as it is."""
RECONSIDER = 1.15
"""When the noise is so much larger or smaller than believed, what the kept windows teach is worked out anew."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A window that was learned from."""

    begin_s: float
    """Since the job began."""
    seconds: float
    limit_w: float
    steps: float

    @property
    def end_s(self) -> float:
        return self.begin_s + self.seconds

    @property
    def log_rate(self) -> float:
        return math.log(self.steps / self.seconds)

    def and_then(self, other: Lesson) -> Lesson | None:
        """Both as one; None where they are not next to each other, at two limits, or too long."""
        apart = other.limit_w != self.limit_w or abs(other.begin_s - self.end_s) > 1e-6
        if apart or self.seconds + other.seconds > LONGEST_S:
            return None
        return replace(self, seconds=self.seconds + other.seconds, steps=self.steps + other.steps)


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
    lessons: tuple[Lesson, ...] = ()
    last: Lesson | None = None
    """The last window as it came, not put together with others."""
    noise: Noise = field(default_factory=Noise)
    """As learned by now."""
    believed: Noise = field(default_factory=Noise)
    """As it was when the belief was made."""

    def aged(self, at_s: float) -> Memory:
        """At a later time."""
        return replace(self, belief=self.belief.aged(at_s - self.at_s, self.believed.wander), at_s=max(at_s, self.at_s))

    def told(self, lesson: Lesson) -> Memory:
        """After a window."""
        first, latest, lessons = self.first or (self.belief, self.at_s), self.latest, self.lessons
        joined = lessons[-1].and_then(lesson) if lessons else None
        if joined is not None:
            lessons = (*lessons[:-1], joined)
        else:
            latest = self.belief, self.at_s
            lessons = (*lessons, lesson)
        if len(lessons) > REMEMBERED:
            first, lessons = _taught(first, lessons[:1], self.believed), lessons[1:]
        noise, believed = self._noise_after(lesson, fresh=joined is None), self.believed
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
            noise,
            believed,
        )

    def forgotten(self) -> Memory:
        """Without the last window: the one after it tells that something was going on."""
        if self.last is None or self.latest is None:
            return self
        whole, last = self.lessons[-1], self.last
        rest = replace(whole, seconds=whole.seconds - last.seconds, steps=whole.steps - last.steps)
        lessons = (*self.lessons[:-1], rest) if rest.seconds > 0 and rest.steps > 0 else self.lessons[:-1]
        belief, at_s = _taught(self.latest, lessons[len(self.lessons) - 1 :], self.believed)
        aged = belief.aged(self.at_s - at_s, self.believed.wander)
        if len(lessons) == len(self.lessons):
            return replace(self, belief=aged, lessons=lessons, last=None)
        # What the belief was before the lesson that is now the last is not known: the next window begins a new one.
        return replace(self, belief=aged, first=(aged, self.at_s), latest=None, lessons=(), last=None)

    def shaken(self, doubt: float, log_rate: float = 0.0) -> Memory:
        """Something changed, and nobody knows what."""
        return Memory(self.belief.shaken(doubt, log_rate), self.at_s, noise=self.noise, believed=self.noise)

    def _noise_after(self, lesson: Lesson, *, fresh: bool) -> Noise:
        noise, last = self.noise, self.last
        if last is not None and last.limit_w == lesson.limit_w:
            difference = lesson.log_rate - last.log_rate
            noise = noise.with_pair(difference, (last.seconds, lesson.seconds), (last.steps, lesson.steps))
        return self._wander_after(noise) if fresh and self.lessons else noise

    def _wander_after(self, noise: Noise) -> Noise:
        """Now that the last of the lessons is as long as it gets: how it differs from the one before at its limit."""
        done = self.lessons[-1]
        before = next((each for each in self.lessons[-2::-1] if each.limit_w == done.limit_w), None)
        if before is None or min(before.seconds, done.seconds) < LONG_S:
            return noise
        apart_s = (done.begin_s + done.end_s - before.begin_s - before.end_s) / 2
        return noise.with_distant(done.log_rate - before.log_rate, apart_s)


def _taught(before: tuple[Belief, float], lessons: Sequence[Lesson], noise: Noise) -> tuple[Belief, float]:
    """(the belief after windows, up to when it is aged)."""
    belief, at_s = before
    for lesson in lessons:
        belief = belief.aged(lesson.end_s - at_s, noise.wander)
        belief = belief.told(lesson.limit_w, lesson.log_rate, noise.variance(lesson.seconds, lesson.steps))
        at_s = max(at_s, lesson.end_s)
    return belief, at_s
