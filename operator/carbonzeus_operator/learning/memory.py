"""A study as text, and back: what a report keeps so that the operator can go on, and a profile so that the next run can. Pure.

The text is the operator's own. Whatever cannot be read is learned anew; it is never guessed at.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.learning.pace import Clocks, Pace
from carbonzeus_operator.learning.study import Study
from carbonzeus_operator.learning.subject import Subject
from carbonzeus_operator.plan.estimator import Learner
from carbonzeus_operator.plan.estimator_state import from_document, to_document

VERSION = 1
_SUBJECT = ("namespace", "workload", "fingerprint", "product", "gpus", "reference_limit_w", "minimum_w", "counts")


def as_text(study: Study) -> str:
    """Everything needed to go on; records that wait for others of their window are left out."""
    return json.dumps(
        {
            "version": VERSION,
            "subject": [getattr(study.subject, name) for name in _SUBJECT],
            "until": study.until.isoformat() if study.until is not None else None,
            "limitWatts": study.limit_w,
            "windows": [study.windows_before, study.windows],
            "profiledSeconds": study.profiled_s,
            "runs": study.runs,
            "curveVersion": study.version,
            "clocks": {
                uuid: [clocks.sm_mhz, clocks.memory_mhz, clocks.utilization]
                for uuid, clocks in study.pace.references.items()
            },
            "learner": to_document(study.learner),
        },
        separators=(",", ":"),
    )


def from_text(text: str, *, timelapse: float = 1.0) -> Study:
    """What `as_text` wrote; InvalidSpec where it is damaged or of another version."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise InvalidSpec(
                f"what was learned is of version {document['version']}: learn anew", reason="InvalidState"
            )
        subject = Subject(**dict(zip(_SUBJECT, document["subject"], strict=True)))
        until = document["until"]
        windows_before, windows = document["windows"]
        return Study(
            subject=subject,
            learner=from_document(document["learner"], subject.prior),
            timelapse=timelapse,
            until=datetime.fromisoformat(until) if until is not None else None,
            limit_w=document["limitWatts"],
            windows=int(windows),
            windows_before=int(windows_before),
            profiled_s=float(document["profiledSeconds"]),
            runs=int(document["runs"]),
            version=int(document["curveVersion"]),
            pace=Pace({uuid: Clocks(*values) for uuid, values in document["clocks"].items()}),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidSpec(f"what was learned cannot be read ({error!r}): learn anew", reason="InvalidState") from error


def next_run(text: str, subject: Subject, *, timelapse: float = 1.0) -> Study:
    """The study of another run of a workload, begun with what its profile keeps. InvalidSpec where that cannot be used."""
    before = from_text(text, timelapse=timelapse)
    if replace(before.subject, namespace="", workload="", fingerprint="") != replace(
        subject, namespace="", workload="", fingerprint=""
    ):
        raise InvalidSpec("what was learned is of another GPU, count or range: learn anew", reason="OtherLevels")
    learner: Learner = before.learner.next_run()
    return Study(
        subject=subject,
        learner=learner,
        timelapse=timelapse,
        windows_before=before.windows_before + before.windows,
        runs=before.runs + 1,
        version=before.version + before.learner.changes,
    )
