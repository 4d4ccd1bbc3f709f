"""The annotations on a job (and on its namespace) by which a user asks for us: text -> one typed request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.base import GROUP
from carbonzeus_operator.resources.quantity import parse_percent
from carbonzeus_wire import ProgressSource

POLICY = f"{GROUP}/policy"
MAX_SLOWDOWN = f"{GROUP}/max-slowdown"
PROGRESS = f"{GROUP}/progress"
PROFILE = f"{GROUP}/profile"
EXPECTED_DURATION = f"{GROUP}/expected-duration"
WORKLOAD = f"{GROUP}/workload"
OPT_OUT = "none"

_KNOWN = (POLICY, MAX_SLOWDOWN, PROGRESS, PROFILE, EXPECTED_DURATION, WORKLOAD)
_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_WORKLOAD = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_UNIT_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_YEAR_S = 365 * 86_400

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What the annotations of one job ask for."""

    policy: str
    max_slowdown: float | None = None
    """The job's own bound, as a share; None: the policy's."""
    progress: ProgressSource | None = None
    total_progress: float | None = None
    """By how much its progress will have risen when it ends."""
    profile: str | None = None
    """Name of a PowerProfile in the job's namespace."""
    expected_duration_s: float | None = None
    """How long the job trains at its reference limit, from start to end [s]."""
    workload: str | None = None
    """What is trained, by a name of the user's own: jobs of one name share a learned curve."""


def policy_of(annotations: Mapping[str, str], namespace_annotations: Mapping[str, str]) -> str | None:
    """The policy the job names, or else its namespace; None: not opted in, or opted out with `none`. Never raises."""
    name = annotations.get(POLICY, namespace_annotations.get(POLICY, OPT_OUT)).strip()
    return None if name == OPT_OUT else name


def parse(annotations: Mapping[str, str], namespace_annotations: Mapping[str, str]) -> JobRequest | None:
    """The request of a job; None where it has not opted in.

    Only the policy is inherited from the namespace. InvalidSpec names every annotation that cannot be used, its value and
    a good example; a misspelt name is an error too, since a bound that is silently ignored would break the promise.
    """
    policy = policy_of(annotations, namespace_annotations)
    if policy is None:
        return None
    faults = [_unknown(key) for key in sorted(annotations) if key.startswith(f"{GROUP}/") and key not in _KNOWN]

    def read(key: str, value: str | None, parser: Callable[[str], ValueT], example: str) -> ValueT | None:
        if value is None:
            return None
        try:
            return parser(value.strip())
        except ValueError as error:
            place = "" if key in annotations else " of the namespace"
            faults.append(f"the annotation {key}{place}: {value!r} {error}; a good one is {key}: {example}")
            return None

    progress, total_progress = read(
        PROGRESS, annotations.get(PROGRESS), _progress, '"port=9100,path=/metrics,metric=train_steps_total"'
    ) or (None, None)
    request = JobRequest(
        policy=read(POLICY, policy, _name, "gentle") or policy,
        max_slowdown=read(MAX_SLOWDOWN, annotations.get(MAX_SLOWDOWN), _percent, '"5%"'),
        progress=progress,
        total_progress=total_progress,
        profile=read(PROFILE, annotations.get(PROFILE), _name, "resnet50-a40"),
        expected_duration_s=read(EXPECTED_DURATION, annotations.get(EXPECTED_DURATION), _duration_s, "36h"),
        workload=read(WORKLOAD, annotations.get(WORKLOAD), _workload, "resnet50-b128"),
    )
    if faults:
        raise InvalidSpec("; ".join(faults), reason="InvalidAnnotation")
    return request


def _unknown(key: str) -> str:
    near = get_close_matches(key, _KNOWN, n=1)
    advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KNOWN)}"
    return f"the annotation {key} is not known: {advice}"


def _name(text: str) -> str:
    if len(text) > 253 or not re.fullmatch(_NAME, text):
        raise ValueError("is no name of an object (lower-case letters, digits, - and .)")
    return text


def _workload(text: str) -> str:
    if not re.fullmatch(_WORKLOAD, text):
        raise ValueError(
            "is no name of a workload (up to 63 letters, digits, -, _ and ., the outer ones letters or digits)"
        )
    return text


def _percent(text: str) -> float:
    try:
        return parse_percent(text, where="")
    except InvalidSpec as error:
        raise ValueError("is no percentage from 0% to 100%, with its sign") from error


def _progress(text: str) -> tuple[ProgressSource, float | None]:
    fields: dict[str, str] = {}
    for item in text.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or key not in {"port", "path", "metric", "total"}:
            raise ValueError(f"has the part {item.strip()!r}, which is none of port=, path=, metric=, total=")
        if key in fields:
            raise ValueError(f"says {key}= twice")
        fields[key] = value
    missing = [key for key in ("port", "metric") if key not in fields]
    if missing:
        raise ValueError(f"says no {' and no '.join(f'{key}=' for key in missing)}")
    total = fields.pop("total", None)
    if total is not None and not re.fullmatch(r"0*[1-9][0-9]{0,14}", total):
        raise ValueError(f"has total={total}, which is not a whole number above 0")
    try:
        return ProgressSource.model_validate(fields), float(total) if total is not None else None
    except ValidationError as error:
        bad = str(error.errors()[0]["loc"][0])
        wanted = {
            "port": "a port from 1 to 65535",
            "path": "a path that begins with /",
            "metric": "the name of a Prometheus counter",
        }[bad]
        raise ValueError(f"has {bad}={fields[bad]}, which is not {wanted}") from error


def _duration_s(text: str) -> float:
    if not re.fullmatch(r"([0-9]{1,9}[dhms])+", text):
        raise ValueError("is no duration (whole numbers with d, h, m or s)")
    seconds = float(sum(int(number) * _UNIT_S[unit] for number, unit in re.findall(r"([0-9]+)([dhms])", text)))
    if not 0 < seconds <= _YEAR_S:
        raise ValueError("is not above 0 and at most 365d")
    return seconds
