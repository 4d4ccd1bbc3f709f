"""Models of the custom resources, the source of `crds/`. A new kind is one module and one line in `ALL`."""

from __future__ import annotations

from typing import Any

from carbonzeus_operator.resources.policy import CARBON_POLICY
from carbonzeus_operator.resources.profile import POWER_PROFILE
from carbonzeus_operator.resources.report import CARBON_REPORT
from carbonzeus_operator.resources.resource import Resource

ALL: tuple[Resource[Any, Any], ...] = (
    CARBON_POLICY,
    CARBON_REPORT,
    POWER_PROFILE,
)
