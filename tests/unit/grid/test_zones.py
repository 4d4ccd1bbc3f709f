"""Which grid serves a cloud's region."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid import file, zones

HEADER = ",".join(zones.COLUMNS)
OWN = re.compile(
    r"""
    (?P<AWS>(?:af|ap|ca|eu|il|me|sa|us)-[a-z]+-\d)
    | (?P<Google>(?:africa|asia|australia|europe|me|northamerica|southamerica|us)-[a-z]+\d+)
    | (?P<Azure>[a-z]+\d?)
    | (?P<CoreWeave>[A-Z]{2}-[A-Z]+-\d\d|RNO2)
    """,
    re.VERBOSE,
)


@pytest.mark.parametrize(
    ("region", "zone"),
    [
        ("us-east-1", "US-MIDA-PJM"),
        ("us-west-1", "US-CAL-CISO"),
        ("us-west-2", "US-NW-BPAT"),
        ("eu-west-1", "IE"),
        ("eu-central-1", "DE"),
        ("eu-north-1", "SE-SE3"),
        ("us-central1", "US-MIDW-MISO"),
        ("europe-west4", "NL"),
        ("westeurope", "NL"),
        ("northcentralus", "US-MIDA-PJM"),
        ("japaneast", "JP-TK"),
        ("US-EAST-04", "US-MIDA-PJM"),
    ],
)
def test_a_shipped_region(region: str, zone: str) -> None:
    """The grid of its city, not the cloud's name for the direction."""
    assert zones.zone_of(region, {}) == zone


@pytest.mark.parametrize(
    "region",
    [
        "",
        "moon-1",
        "US-EAST-1",
        "us-west2",  # Los Angeles: the city's own utility, or CAISO
        "us-east1",  # Moncks Corner: two balancing areas meet
        "westus2",  # Quincy: the counties are balancing areas of their own
        "ap-southeast-3",  # Jakarta, and Kuala Lumpur of another cloud
        "ap-southeast-5",  # Malaysia, and Jakarta of another cloud
        "us-east",  # of two clouds
    ],
)
def test_what_is_not_known_or_not_one_thing(region: str) -> None:
    """Is not guessed."""
    assert zones.zone_of(region, {}) is None


def test_a_setting_adds_and_overrules() -> None:
    """By region."""
    setting = {"eu-west-1": "GB", "moon-1": "LUNA"}
    assert [zones.zone_of(region, setting) for region in ("eu-west-1", "moon-1", "eu-west-2")] == ["GB", "LUNA", "GB"]


def test_every_row_is_whole() -> None:
    """With a name of a region as its cloud gives them, a name of a zone that providers take, and a reason."""
    table = zones.shipped()
    assert len(table) > 100
    for region, row in table.items():
        found = OWN.fullmatch(region)
        assert found is not None, region
        assert found.lastgroup == row.cloud.split()[0], region
        assert file.ZONE.fullmatch(row.zone), region
        assert row.place.isascii(), region
        assert row.why.isascii(), region


def test_the_same_place_has_the_same_zone() -> None:
    """Whatever cloud is there."""
    by_place: dict[str, set[str]] = {}
    for row in zones.shipped().values():
        by_place.setdefault(row.place, set()).add(row.zone)
    assert {place: found for place, found in by_place.items() if len(found) > 1} == {}


def test_rows_stand_in_order() -> None:
    """Cloud by cloud, so that one finds them; the whole as it is parsed again."""
    table = zones.shipped()
    clouds = list(dict.fromkeys(row.cloud for row in table.values()))
    assert [row.cloud for row in table.values()] == [
        cloud for cloud in clouds for row in table.values() if row.cloud == cloud
    ]
    text = (Path(zones.__file__).parent / "zones.csv").read_text(encoding="utf-8")
    assert zones.parse(text.splitlines()) == table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("region,zone\n", "line 1: begin with region,zone,cloud,place,why"),
        ("", "line 1: begin with"),
        (f"{HEADER}\na,DE,AWS,Berlin\n", "line 2: give region, zone, cloud, place, why, none of them empty"),
        (f"{HEADER}\na,,AWS,Berlin,one\n", "line 2: give"),
        (f"{HEADER}\na,de,AWS,Berlin,one\n", "line 2: 'de' is no name of a zone"),
        (f"{HEADER}\na,DE,AWS,Berlin,one\na,FR,AWS,Paris,one\n", "line 3: a is there already"),
    ],
)
def test_a_table_that_is_wrong(text: str, message: str) -> None:
    """Says in which line."""
    with pytest.raises(InvalidSpec, match=message) as refused:
        zones.parse(text.splitlines())
    assert refused.value.reason == "InvalidZone"


def test_the_examples_of_the_documentation() -> None:
    """Are rows of the table, and what is said to be left out is."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "grid.md").read_text(encoding="utf-8")
    text = page.split("\n## Zones of cloud regions\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| .*? \| `(.*?)` \|$", text, re.MULTILINE)
    assert len(rows) == 8
    for regions, zone in rows:
        assert {zones.zone_of(region, {}) for region in re.findall(r"`(.*?)`", regions)} == {zone}
    left_out = text.split("is left out rather than guessed")[1].split("Alibaba")[0]
    named = re.findall(r"`(.*?)`", left_out)
    assert len(named) == 6
    assert {zones.zone_of(region, {}) for region in named} == {None}
