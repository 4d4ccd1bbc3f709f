"""/healthz, /readyz and /metrics of the operator, on a plain port that can do nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4


def application(
    *, alive: Callable[[], str | None], ready: Callable[[], str | None], metrics: CollectorRegistry
) -> web.Application:
    """`alive` and `ready` return what is wrong, or None."""

    def check(problem: Callable[[], str | None]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_: web.Request) -> web.StreamResponse:
            wrong = problem()
            return web.json_response({"ok": wrong is None, "reason": wrong}, status=200 if wrong is None else 503)

        return answer

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application()
    app.add_routes([web.get("/healthz", check(alive)), web.get("/readyz", check(ready)), web.get("/metrics", scrape)])
    return app


async def serve(app: web.Application, *, host: str, port: int) -> web.AppRunner:
    """Starts serving; `await runner.cleanup()` ends it."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host or None, port).start()
    return runner
