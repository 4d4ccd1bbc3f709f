"""What was learned as a document of plain numbers, and back: it outlives the operator, and the job. Pure.

The windows themselves are not kept: a learner that was read goes on from its belief.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.plan.estimator import Learner, Level
from carbonzeus_operator.plan.estimator_filter import Belief
from carbonzeus_operator.plan.estimator_memory import Memory
from carbonzeus_operator.plan.estimator_noise import Noise
from carbonzeus_operator.plan.estimator_windows import Observation
from carbonzeus_operator.plan.prior import Prior

VERSION = 4
LIKELY_DIGITS = 3


def to_document(learner: Learner) -> dict[str, Any]:
    """Strings, numbers, lists and dictionaries only."""
    memory, prior = learner.memory, learner.prior
    return {
        "version": VERSION,
        "product": prior.product,
        "referenceLimitWatts": prior.reference_limit_w,
        "levels": list(prior.limits_w),
        "mean": learner.belief.mean.tolist(),
        "covariance": learner.belief.covariance.tolist(),
        "atSeconds": memory.at_s,
        "noise": np.round(memory.noise.likely, LIKELY_DIGITS).tolist(),
        "measured": [[limit_w, level.seconds, level.joules] for limit_w, level in learner.levels.items()],
        "held": [[limit_w, seconds] for limit_w, seconds in learner.held_s.items()],
        "bankedSeconds": learner.banked_s,
        "last": asdict(learner.last) if learner.last is not None else None,
        "changes": learner.changes,
        "begunSeconds": learner.begun_s,
        "referredAtSeconds": learner.referred_at_s,
    }


def from_document(document: Mapping[str, Any], prior: Prior | None = None) -> Learner:
    """What `to_document` wrote. InvalidSpec where it cannot be read, or is of another product or range than `prior`.

    Without `prior` it is of whatever it says. So a job that moved goes on: `from_document(document).moved(prior)`.
    """
    try:
        if document["version"] != VERSION:
            raise InvalidSpec(
                f"what was learned is written as version {document['version']}, not {VERSION}: learn anew",
                reason="OtherVersion",
            )
        written = Prior.at(document["product"], document["referenceLimitWatts"], tuple(document["levels"]))
        if prior is None:
            prior = written
        elif not prior.is_like(written):
            raise InvalidSpec(f"what was learned is of {written}; now it is {prior}: learn anew", reason="OtherLevels")
        mean, covariance = np.array(document["mean"]), np.array(document["covariance"])
        likely = np.array(document["noise"])
        count = len(prior.limits_w) + 1
        shapes = (mean.shape, covariance.shape, likely.shape)
        if shapes != ((count,), (count, count), Noise().likely.shape) or not np.isfinite(covariance).all():
            raise InvalidSpec("what was learned is damaged: learn anew", reason="InvalidState")
        noise = Noise(likely)
        last = document["last"]
        return Learner(
            memory=Memory(Belief(prior, mean, covariance), document["atSeconds"], noise=noise, believed=noise),
            levels={limit_w: Level(seconds, joules) for limit_w, seconds, joules in document["measured"]},
            held_s={limit_w: seconds for limit_w, seconds in document["held"]},  # noqa: C416 - lists of two, in JSON
            banked_s=document["bankedSeconds"],
            last=Observation(**last) if last is not None else None,
            changes=document["changes"],
            begun_s=document["begunSeconds"],
            referred_at_s=document["referredAtSeconds"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidSpec(f"what was learned cannot be read ({error!r}): learn anew", reason="InvalidState") from error
