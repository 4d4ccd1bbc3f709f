"""What a file may say, and what is said of one that is broken."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.csvfile import parse
from carbonzeus_operator.grid.recording import Rows, from_us
from tests.unit.grid.samples import HOUR, T0, at, examples, issues, plain, read

PLAIN = "start_utc,gco2_per_kwh\n"
ISSUES = "issued_utc,start_utc,forecast_gco2eq_kwh,actual_gco2eq_kwh\n"


def values(rows: Rows) -> dict[object, float]:
    return {from_us(start_us): value for start_us, value, _ in rows.chosen(range(len(rows.values)))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: there is no header; begin with start_utc,gco2_per_kwh"),
        ("\n\n", "line 1: there is no header"),
        (
            "start_utc,intensity\n",
            f"line 1: the header has no column gco2_per_kwh; begin with {PLAIN.strip()} or {ISSUES.strip()}, as text with",
        ),
        ("start_utc;gco2_per_kwh\n", "line 1: the header has no column start_utc and no gco2_per_kwh"),
        ("issued_utc,start_utc,forecast_gco2eq_kwh\n", "line 1: the header has no column actual_gco2eq_kwh"),
        ("start_utc,gco2_per_kwh,gco2_per_kwh\n", "line 1: the header has the column gco2_per_kwh twice; keep one"),
        (PLAIN, "line 2: no two rows follow each other, so that no interval has a length; give at least two rows"),
        (PLAIN + "2026-11-24T12:00Z,1\n", "line 3: no two rows follow each other"),
        (PLAIN + "2026-11-24T12:00Z,NaN\n", "line 2: gco2_per_kwh 'NaN' is no number; give grams of CO2 per kWh, or"),
        (PLAIN + "2026-11-24T12:00Z,inf\n", "line 2: gco2_per_kwh 'inf' is no number"),
        (PLAIN + "2026-11-24T12:00Z,1e999\n", "line 2: gco2_per_kwh '1e999' is no number"),
        (PLAIN + "2026-11-24T12:00Z,\n", "line 2: gco2_per_kwh '' is no number"),
        (PLAIN + "2026-11-24T12:00Z,1_000\n", "line 2: gco2_per_kwh '1_000' is no number"),
        (PLAIN + "2026-11-24T12:00Z,245g\n", "line 2: gco2_per_kwh '245g' is no number"),
        (PLAIN + '2026-11-24T12:00Z,"245,3"\n', "line 2: gco2_per_kwh '245,3' is no number"),
        (PLAIN + "2026-11-24T12:00Z,245,3\n", "line 2: has 3 cells where the header has 2; complete or remove the row"),
        (PLAIN + "2026-11-24T12:00Z,-3.5\n", "line 2: gco2_per_kwh -3.5 is negative; an intensity is 0 or more"),
        (PLAIN + "2026-11-24T12:00Z,245000\n", "line 2: gco2_per_kwh 245000 is more than any power plant emits"),
        (PLAIN + "2026-11-24T12:00Z\n", "line 2: has 1 cells where the header has 2; complete or remove the row"),
        (PLAIN + "noon,1\n", "line 2: start_utc 'noon' is no time; write it as 2021-08-01T00:00Z"),
        (PLAIN + ",1\n", "line 2: start_utc '' is no time"),
        (PLAIN + "1764000000,1\n", "line 2: start_utc '1764000000' is no time"),
        (PLAIN + "2026-11-24T12:00,1\n", "line 2: start_utc '2026-11-24T12:00' has no offset; write it as"),
        (PLAIN + "2026-11-24,1\n", "line 2: start_utc '2026-11-24' has no offset"),
        (PLAIN + "0001-01-01T00:00+14:00,1\n", "line 2: start_utc '0001-01-01T00:00+14:00' is not between 1970 and"),
        (PLAIN + "9999-12-31T23:00Z,1\n", "line 2: start_utc '9999-12-31T23:00Z' is not between 1970 and 2200"),
        (
            PLAIN + "2026-11-24T12:00Z,1\n2026-11-24T11:00Z,1\n",
            "line 3: start_utc 2026-11-24T11:00:00+00:00 is earlier than in the row before; sort the rows by time",
        ),
        (
            PLAIN + "2026-11-24T12:00Z,1\n2026-11-24T13:00+01:00,1\n",
            "line 3: start_utc 2026-11-24T12:00:00+00:00 occurs twice; sort the rows by time, one an interval",
        ),
        (
            plain({0: 1, 1: 1, 2: 1, 2.5: 1}),
            "line 5: start_utc is 0:30:00 after the row before, but the file's step is 1:00:00; keep one step",
        ),
        (PLAIN + '2026-11-24T12:00Z,"1\n2026-11-24T13:00Z,1\n', "line 2: is no CSV: unexpected end of data; check"),
        (PLAIN + '2026-11-24T12:00Z,"1"2\n', "line 2: is no CSV: "),
        (PLAIN + "2026-11-24T12:00Z," + "1" * 200_000 + "\n", "line 2: is no CSV: field larger than field limit"),
        (PLAIN + "2026-11-24T12:00Z," + "x" * 1000 + "\n", f"line 2: gco2_per_kwh '{'x' * 40}…' is no number"),
        (PLAIN + "2026-11-24T12:00Z,-0." + "1" * 1000 + "\n", "line 2: gco2_per_kwh -0.111111 is negative"),
        (PLAIN + "\n \n,\n2026-11-24T12:00Z,x\n", "line 5: gco2_per_kwh 'x' is no number"),
        ('start_utc,gco2_per_kwh,note\n2026-11-24T12:00Z,1,"a\nb"\n2026-11-24T13:00Z,x,\n', "line 4: gco2_per_kwh 'x'"),
        (issues((0, 0, 1, ""), (-1, 0, 1, "")), "line 3: issued_utc 2026-11-24T11:00:00+00:00 is earlier than in the"),
        (issues((0, 0, 1, ""), (0, 0, 1, "")), "line 3: start_utc 2026-11-24T12:00:00+00:00 occurs twice"),
        (issues((0, 0, "", 5)), "line 2: forecast_gco2eq_kwh '' is no number"),
        (issues((0, 0, 1, "nan")), "line 2: actual_gco2eq_kwh 'nan' is no number"),
        (issues((0, 0, 1, 5), (1, 1, 1, 6)), "line 4: no two rows follow each other"),
        (ISSUES + "then,2026-11-24T12:00Z,1,1\n", "line 2: issued_utc 'then' is no time"),
        (
            issues((0, 0, 1, 5), (0, 1, 1, 6), (1, 1, 1, 6.5), (1, 2, 1, "")),
            "line 4: actual_gco2eq_kwh of 2026-11-24T13:00:00+00:00 is 6.5, but 6 in line 3; give each interval one",
        ),
        (
            issues((0, 0, 1, 5), (0, 1, 1, ""), (1, 0.5, 1, 6), (1, 1.5, 1, "")),
            "line 4: the actual overlaps that of line 2: they start less than the file's step of 1:00:00 apart",
        ),
    ],
)
def test_a_broken_file_is_refused_with_its_line_and_what_to_do(text: str, message: str) -> None:
    """The sentence becomes a condition: file, line, what is wrong; what to do."""
    with pytest.raises(InvalidSpec) as refused:
        read(text)
    assert str(refused.value).startswith(f"X.csv, {message}")
    assert "; " in str(refused.value)
    assert len(str(refused.value)) < 400
    assert refused.value.reason == "InvalidGridData"


@examples
@given(st.binary(max_size=400), st.booleans())
def test_garbage_is_refused_or_read_but_never_crashes(garbage: bytes, headed: bool) -> None:
    """Only InvalidSpec comes out, with a message that any API server takes."""
    text = (PLAIN if headed else "") + garbage.decode("utf-8", errors="surrogateescape")
    try:
        read(text)
    except InvalidSpec as refused:
        assert str(refused).encode("utf-8")  # noqa: PT017 - not every example is refused


def test_a_plain_file() -> None:
    """Rows are what was, and what will be; columns may stand in any order, others are passed over."""
    recording = read("note,gco2_per_kwh,start_utc\nx,245.3,2026-11-24T12:00Z\n,250,2026-11-24T13:00Z\n")
    assert recording.step == HOUR
    assert values(recording.actuals) == {T0: 245.3, at(1): 250}
    assert recording.issues == {}


def test_a_file_of_issues() -> None:
    """Each issue by itself; a blank actual is not published yet, the same one said again is the same."""
    recording = read(issues((0, 0, 1, 5), (0, 1, 2, ""), (1, 1, 3, ""), (1, 2, 4, "")))
    assert {issued: values(rows) for issued, rows in recording.issues.items()} == {
        T0: {T0: 1, at(1): 2},
        at(1): {at(1): 3, at(2): 4},
    }
    assert values(recording.actuals) == {T0: 5}


def test_an_actual_may_be_said_by_every_issue() -> None:
    """As long as they agree."""
    recording = read(issues((0, 0, 1, 5), (0, 1, 1, 6), (1, 1, 1, 6.0), (1, 2, 1, 7)))
    assert values(recording.actuals) == {T0: 5, at(1): 6, at(2): 7}


@pytest.mark.parametrize(
    "time", ["2026-11-24T13:00+01:00", "2026-11-24 12:00:00+00:00", "20261124T12Z", '"2026-11-24T12:00Z"']
)
def test_times_may_be_written_in_other_ways(time: str) -> None:
    """ISO 8601 with an offset, as spreadsheets and pandas write it."""
    recording = read(f"{PLAIN}{time},1\n2026-11-24T13:00Z,1\n")
    assert values(recording.actuals) == {T0: 1, at(1): 1}


@pytest.mark.parametrize(
    "text",
    [
        "start_utc,gco2_per_kwh\r\n2026-11-24T12:00Z,1\r\n2026-11-24T13:00Z,2\r\n",
        "start_utc,gco2_per_kwh\r2026-11-24T12:00Z,1\r2026-11-24T13:00Z,2",
        '"start_utc","gco2_per_kwh"\n"2026-11-24T12:00Z","1"\n"2026-11-24T13:00Z","2"\n',
        " start_utc , gco2_per_kwh \n 2026-11-24T12:00Z , 1 \n 2026-11-24T13:00Z , 2 \n",
        "start_utc,gco2_per_kwh\n\n2026-11-24T12:00Z,1\n   \n2026-11-24T13:00Z,2\n,\n\n",
        "start_utc,gco2_per_kwh,,\n2026-11-24T12:00Z,1,,\n2026-11-24T13:00Z,2,,\n",
        "start_utc,gco2_per_kwh\n2026-11-24T12:00Z,1,\n2026-11-24T13:00Z,2,\n",
    ],
    ids=["CRLF", "CR", "quoted", "spaces", "blank lines", "empty columns", "commas at the end"],
)
def test_what_editors_and_spreadsheets_do_to_a_file_is_no_harm(text: str) -> None:
    """The same two rows in each of them."""
    assert values(read(text).actuals) == {T0: 1, at(1): 2}


def test_the_usual_spacing_is_the_step() -> None:
    """Wider ones are gaps; of two that are as usual, the shorter."""
    assert read(plain({0: 1, 0.5: 1, 4: 1, 4.5: 1})).step == timedelta(minutes=30)
    assert read(plain({0: 1, 24: 1})).step == timedelta(days=1)
    assert read(plain({0: 1, 1: 1, 5: 1})).step == HOUR


def test_gaps_of_any_length_are_no_error() -> None:
    """Also one that is not a multiple of the step."""
    recording = read(plain({0: 1, 1: 1, 2: 1, 4.25: 1, 5.25: 1}))
    assert list(values(recording.actuals)) == [at(0), at(1), at(2), at(4.25), at(5.25)]


def test_a_million_rows() -> None:
    """Ten years of five minutes are read, and kept as columns."""
    minutes = [f"T{minute // 60:02}:{minute % 60:02}Z,245.5\n" for minute in range(0, 24 * 60, 5)]
    days = [(T0 + timedelta(days=day)).date().isoformat() for day in range(3473)]
    recording = parse(
        "X.csv", (row for day in days for row in [PLAIN] * (day == days[0]) + [day + end for end in minutes])
    )
    rows = recording.actuals
    assert len(rows.values) > 1_000_000
    assert sum(column.itemsize for column in (rows.starts_us, rows.values, rows.lines)) == 24
    assert recording.step == timedelta(minutes=5)
