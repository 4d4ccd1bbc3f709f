"""The API for the operator, `/v1`: plans in, the state of the node and its energy out. Every error is a sentence in JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from aiohttp import web
from pydantic import ValidationError

from carbonzeus_agent.agent import Agent
from carbonzeus_agent.ledger import LedgerFailed
from carbonzeus_agent.outlook import node_state
from carbonzeus_agent.plans import StaleFence
from carbonzeus_wire import PlanReply, PlanRequest

log = logging.getLogger(__name__)

MAXIMUM_BODY = 4 * 1024 * 1024
"""Bytes; a node full of pods with 96 hours of 5-minute steps each is a tenth of it."""
BODY_WITHIN_S = 10.0
PAGE = 1000
MAXIMUM_PAGE = 5000
SENTENCES = 3
"""So many of the mistakes of a body are named."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def api(agent: Agent) -> web.Application:
    """The application of one agent."""

    async def put_plans(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                body = await request.read()
        except TimeoutError:
            return _error(408, f"the body did not arrive within {BODY_WITHIN_S:g} s")
        try:
            plans = PlanRequest.model_validate_json(body)
        except ValidationError as error:
            agent.tally.requests.labels(result="invalid").inc()
            return _error(400, _sentence(error))
        except OverflowError:
            agent.tally.requests.labels(result="invalid").inc()
            return _error(400, "an instant lies outside of the years 1 to 9999 in UTC")
        try:
            reply = await agent.put_plans(plans)
        except StaleFence as stale:
            agent.tally.requests.labels(result="stale").inc()
            log.warning("plans of fence %d.%d refused: %s", plans.fence.term, plans.fence.revision, stale)
            return _json(PlanReply(fence=stale.standing).model_dump_json(by_alias=True), status=409)
        agent.tally.requests.labels(result="accepted").inc()
        return _json(reply.model_dump_json(by_alias=True))

    async def get_node(_: web.Request) -> web.Response:
        return _json(node_state(agent).model_dump_json(by_alias=True))

    async def get_energy(request: web.Request) -> web.Response:
        try:
            after = _number(request, "after", 0, 0, 2**63 - 1)
            limit = _number(request, "limit", PAGE, 1, 2**63 - 1)
            since = _instant(request, "since")
        except ValueError as error:
            return _error(400, str(error))
        try:
            return _json(await agent.ledger.page(after, min(limit, MAXIMUM_PAGE), since))
        except LedgerFailed as error:
            return _error(503, str(error))

    app = web.Application(client_max_size=MAXIMUM_BODY, middlewares=[_in_json])
    app.router.add_put("/v1/plans", put_plans)
    app.router.add_get("/v1/node", get_node)
    app.router.add_get("/v1/energy", get_energy)
    return app


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error(error.status, error.reason)


def _number(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise ValueError(f"{name} must be a whole number from {low} to {high}")
    return int(text)


def _instant(request: web.Request, name: str) -> datetime | None:
    text = request.query.get(name)
    if text is None:
        return None
    sentence = f"{name} must be a time with its offset, such as 2026-03-01T12:00:00Z"
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(sentence) from error
    if found.tzinfo is None:
        raise ValueError(sentence)
    return found


def _sentence(error: ValidationError) -> str:
    """What is wrong where, without repeating what was sent."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    named = [f"{'.'.join(str(part) for part in it['loc']) or 'body'}: {it['msg']}" for it in problems[:SENTENCES]]
    more = f"; and {len(problems) - SENTENCES} more" if len(problems) > SENTENCES else ""
    return "; ".join(named) + more


def _error(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


def _json(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/json")
