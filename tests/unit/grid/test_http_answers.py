"""What an answer means: a model, or an error that says whom it concerns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.http import LONGEST_WAIT_S, Http, Reply, expect
from tests.unit.grid.reading import Reading, reading
from tests.unit.grid.replay_server import Answer, ReplayServer
from tests.unit.grid.samples import T0, examples


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, InvalidSpec, r"Sample refuses the forecast of zone DE: 400 \(no such zone\)"),
        (404, InvalidSpec, r"Sample refuses the forecast of zone DE: 404 \(no such zone\)"),
        (422, InvalidSpec, r"Sample refuses the forecast of zone DE: 422 \(no such zone\)"),
        (
            401,
            Unavailable,
            r"Sample refused the credential when asked for the forecast of zone DE: 401 \(no such zone\);",
        ),
        (
            403,
            Unavailable,
            r"Sample refused the credential when asked for the forecast of zone DE: 403 \(no such zone\);",
        ),
        (429, Unavailable, r"Sample is asked too often: 429 for the forecast of zone DE \(no such zone\)"),
        (301, Unavailable, "Sample sends elsewhere for the forecast of zone DE: 301; set its url"),
        (307, Unavailable, "Sample sends elsewhere"),
        (500, Unavailable, r"Sample answered the forecast of zone DE with 500 \(no such zone\)"),
        (503, Unavailable, "with 503"),
        (204, Unavailable, "with 204"),
        (410, Unavailable, "with 410"),
    ],
)
async def test_statuses(
    http: Http, server: ReplayServer, status: int, kind: type[CarbonzeusError], message: str
) -> None:
    """Split by who can do something about it. A redirect is not followed."""
    server.answers["/x"] = Answer({"error": "no such zone"}, status, {"Location": f"{server.url}/elsewhere"})
    with pytest.raises(kind, match=message) as raised:
        await reading(http, server)
    if isinstance(raised.value, InvalidSpec):
        assert raised.value.reason == "GridDataRefused"
    assert [asked.path for asked in server.asked] == ["/x"]


@pytest.mark.parametrize("status", [401, 429, 500, 503, 302])
@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("120", 120),
        ("0", 0),
        ("-5", 0),
        ("1.5", 1.5),
        ("99999999999999", LONGEST_WAIT_S),
        (format_datetime(T0 + timedelta(minutes=5), usegmt=True), 300),
        (format_datetime(T0 - timedelta(minutes=5), usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT_S),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("", None),
    ],
)
async def test_retry_after(http: Http, server: ReplayServer, status: int, said: str, wait_s: float | None) -> None:
    """In seconds or as a date, and never for ever."""
    server.answers["/x"] = Answer(b"", status, {"Retry-After": said})
    with pytest.raises(Unavailable) as raised:
        await reading(http, server)
    assert raised.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        ("<!doctype html><p>Sign in", {"Content-Type": "text/html"}, "a web page, not JSON"),
        (" <html>", {}, "a web page, not JSON"),
        ("", {}, "nothing"),
        ('{"values": [1, 2', {}, "what is no JSON: .*EOF"),
        (b"\xff\xfe", {}, "what is no JSON"),
        ("[" * 100_000, {}, "what is no JSON: .*recursion"),
        ({"values": [1, "x", "y"]}, {}, r"values\.1: Input should be a valid integer"),
        ({"value": 1}, {}, "values: Field required"),
        ([], {}, "the whole: Input should be an object"),
    ],
)
async def test_answers_that_are_none(
    http: Http, server: ReplayServer, body: object, headers: dict[str, str], message: str
) -> None:
    """With the first thing that is wrong."""
    server.answers["/x"] = Answer(body, headers=headers)
    with pytest.raises(Unavailable, match=f"^Sample answered the forecast of zone DE with something else: .*{message}"):
        await reading(http, server)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"code": "400", "message": "bad date"}}, " (bad date)"),
        ({"errors": ["x"], "message": "bad\n\x1b[31m date\x00"}, " (bad [31m date)"),
        ({"detail": [{"loc": ["zone"], "message": "bad"}]}, " (bad)"),
        ({"title": "x" * 1000}, f" ({'x' * 200}...)"),
        ({"error": {"code": 5}}, ""),
        ({"error": "\ud800"}, ""),
        ([], ""),
        ("[" * 100_000, ""),
        ("<html>", ""),
        (b"\xff", ""),
        (5, ""),
    ],
)
async def test_the_sources_own_words(http: Http, server: ReplayServer, body: object, said: str) -> None:
    """Short, clean, where one is used to look for them."""
    server.answers["/x"] = Answer(body, 500)
    with pytest.raises(Unavailable) as raised:
        await reading(http, server)
    assert str(raised.value) == f"Sample answered the forecast of zone DE with 500{said}"
    assert str(raised.value).encode()


@examples
@given(st.integers(200, 599), st.binary() | st.text().map(str.encode), st.sampled_from(["", "text/html"]))
def test_any_reply_is_a_model_or_an_error_of_ours(status: int, body: bytes, content_type: str) -> None:
    """And every message is one that the API server takes."""
    reply = Reply(status, body, datetime.now(UTC), None, content_type)
    try:
        expect(reply, "Sample", "it", model=Reading)
    except CarbonzeusError as error:
        said = str(error)
    else:
        said = ""
    assert said or status == 200
    assert said.encode().decode().isprintable()
