"""The grid zones of cloud regions, as shipped: `zones.csv` beside this file, a row a region with the reason for its zone.

The names of the zones are Electricity Maps'. A region is left out where its place is not published well enough, where several
grids serve it, or where two clouds give its name to different cities: a wrong zone would be wrong in every report. The
setting `zones` adds to the table and overrules it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from carbonzeus_operator.errors import InvalidSpec

ZONE = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)*", re.ASCII)
"""As Electricity Maps writes them."""
COLUMNS = ("region", "zone", "cloud", "place", "why")


@dataclass(frozen=True, slots=True)
class Region:
    """Where a cloud's region is, and which grid serves it."""

    zone: str
    cloud: str
    place: str
    """Its city, or the county or state where no more is published."""
    why: str
    """What says that this zone's grid serves the place."""


@cache
def shipped() -> Mapping[str, Region]:
    """By the name that nodes bear in the label `topology.kubernetes.io/region`."""
    text = files(__package__).joinpath("zones.csv").read_text(encoding="utf-8")
    return MappingProxyType(parse(text.splitlines()))


def parse(lines: Iterable[str]) -> dict[str, Region]:
    """The rows by region. InvalidSpec names the line that is wrong."""
    reader = csv.reader(lines, strict=True)
    if tuple(next(reader, ())) != COLUMNS:
        raise InvalidSpec(f"zones.csv, line 1: begin with {','.join(COLUMNS)}", reason="InvalidZone")
    found: dict[str, Region] = {}
    for row in reader:
        where = f"zones.csv, line {reader.line_num}"
        if len(row) != len(COLUMNS) or not all(row):
            raise InvalidSpec(f"{where}: give {', '.join(COLUMNS)}, none of them empty", reason="InvalidZone")
        region, zone, cloud, place, why = row
        if not ZONE.fullmatch(zone):
            raise InvalidSpec(f"{where}: {zone!r} is no name of a zone", reason="InvalidZone")
        if region in found:
            raise InvalidSpec(f"{where}: {region} is there already", reason="InvalidZone")
        found[region] = Region(zone, cloud, place, why)
    return found


def zone_of(region: str, overruling: Mapping[str, str]) -> str | None:
    """The zone of a region; None where it is not known.

    overruling: zones by region that come before the shipped ones.
    """
    known = overruling.get(region)
    if known is None and (row := shipped().get(region)) is not None:
        known = row.zone
    return known
