"""What is told of a study: whether the curve is known, how far measuring has come, and how sure it is. Pure."""

from __future__ import annotations

import math

from carbonzeus_operator.learning.study import Study
from carbonzeus_operator.plan.profiling import Why
from carbonzeus_operator.resources.learning import LearningPhase
from carbonzeus_operator.world.snapshot import ActivePlan


def phase_of(study: Study) -> LearningPhase:
    """How far it is."""
    learner = study.learner
    if learner.known:
        return LearningPhase.LEARNED
    if learner.referred_at_s is None:
        return LearningPhase.WARMING_UP
    return LearningPhase.TOO_NOISY if learner.is_too_noisy else LearningPhase.MEASURING


def uncertainty_of(study: Study) -> str | None:
    """By how much r may be lower than planned with, at the worst limit, rounded up; None while nothing is known."""
    if not study.learner.known:
        return None
    return f"{math.ceil(study.learner.r_error * 10_000) / 100:g}%"


def what_is_known(study: Study, active: ActivePlan) -> tuple[bool, str, str]:
    """(whether the curve is known, reason, sentence), for a condition."""
    phase, learner = phase_of(study), study.learner
    window = active.window
    doing = ""
    if window is not None:
        doing = f"; measuring {window.limit_w:g} W for {window.seconds:.0f} s"
        if window.why is Why.WARM_UP:
            doing = "; the first minutes of a job teach nothing"
    if phase is LearningPhase.TOO_NOISY:
        told = (
            f"the job's speed differs by {learner.differs:.1%} from minute to minute: the bound cannot be kept with what that teaches, so the"
            " reference limit holds. A PowerProfile that you measured yourself can be named in carbonzeus.dev/profile"
        )
        return False, phase.value, told
    if phase is LearningPhase.LEARNED:
        limits = ", ".join(f"{limit_w:g}" for limit_w in learner.known)
        return (
            True,
            phase.value,
            f"r is known to {uncertainty_of(study)} at {limits} W, from {study.windows} windows{doing}",
        )
    how = "steps" if study.subject.counts else "clocks"
    return False, phase.value, f"no curve is known yet: it is measured by the job's {how}{doing}"
