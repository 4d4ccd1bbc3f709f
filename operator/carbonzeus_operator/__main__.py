"""The operator process: watch, lead, go round."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterable
from datetime import timedelta

from carbonzeus_operator import handlers, health, kube
from carbonzeus_operator.cycle import Cycle
from carbonzeus_operator.errors import CarbonzeusError
from carbonzeus_operator.fleet.fleet import Fleet
from carbonzeus_operator.fleet.transport import AgentTransport
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.sources import CALL_S, provider_of
from carbonzeus_operator.leader import Leader
from carbonzeus_operator.metrics import Metrics
from carbonzeus_operator.settings import Settings
from carbonzeus_operator.trust import Trust
from carbonzeus_operator.world.picture import Picture
from carbonzeus_wire import agent_name

log = logging.getLogger("carbonzeus")

STUCK_ROUNDS = 10
"""Without a finished round for this many cycles (and a minute at least) the process counts as stuck."""


class Operator:
    """The parts of the process and how they hang together."""

    def __init__(self, settings: Settings, connection: kube.Kube) -> None:
        self.settings = settings
        self.connection = connection
        self.picture = Picture()
        self.metrics = Metrics()
        self.http = Http(timeout_s=CALL_S)
        self.grid_provider = provider_of(settings, self.http)
        self.cycle: Cycle | None = None
        self.leader = Leader(
            connection,
            settings.namespace,
            "carbonzeus-operator",
            f"{settings.pod_name}_{os.getpid()}",
            settings.leader_lease_seconds,
        )
        self.began = asyncio.get_running_loop().time()
        self.rounds_began: float | None = None

    def observe(self, kind: kube.Kind, event: str | None, raw: dict[str, object]) -> None:
        """Takes a watch event."""
        if self.picture.observe(kind, event, raw) and self.cycle is not None and kind != kube.CARBONREPORT:
            self.cycle.wake()

    def not_alive(self) -> str | None:
        """What is wrong, if the process should be started anew."""
        if self.cycle is None or self.rounds_began is None:
            return None
        last = self.cycle.completed_at
        allowed_s = max(STUCK_ROUNDS * self.settings.cycle_seconds, 60.0)
        if last is None:
            silent_s = asyncio.get_running_loop().time() - self.rounds_began
        else:
            silent_s = (self.cycle.clock() - last).total_seconds()
        return f"no round was finished for {silent_s:.0f} s" if silent_s > allowed_s else None

    def not_ready(self) -> str | None:
        """What is wrong, if the process does not do its work. A standby is ready: it waits for the lease."""
        if self.cycle is None:
            return None
        return None if self.cycle.completed_at is not None else "the first round is not finished"

    async def lead(self) -> None:
        """Waits for the lease, then goes round until it is lost."""
        settings = self.settings
        term = await self.leader.acquire()
        self.metrics.leading.set(1)
        trust = Trust(self.connection, settings.namespace, settings.tls_mode)
        self.metrics.watch_certificates(trust.expiries)
        transport = AgentTransport(
            port=settings.agent_port,
            timeout_s=settings.agent_timeout_seconds,
            concurrency=settings.agent_concurrency,
            tls=trust.context,
            name=agent_name(settings.namespace),
        )
        grid = GridCache(self.grid_provider, state_dir=settings.state_dir, refresh_s=settings.grid_refresh_seconds)
        self.cycle = Cycle(
            settings=settings,
            connection=self.connection,
            picture=self.picture,
            fleet=Fleet(transport, memory=timedelta(seconds=settings.lease_seconds)),
            grid=grid,
            metrics=self.metrics,
            term=term,
        )
        self.rounds_began = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.leader.hold())
                await trust.look()
                group.create_task(trust.keep())
                group.create_task(self.cycle.run())
        finally:
            await grid.close()
            await self.http.close()
            await transport.close()

    async def run(self) -> int:
        """Until a signal, a lost lease or an error. Returns the exit status."""
        app = health.application(alive=self.not_alive, ready=self.not_ready, metrics=self.metrics.registry)
        runner = await health.serve(app, host=self.settings.health_host, port=self.settings.health_port)
        leading = asyncio.create_task(self.lead())

        async def stop() -> None:
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)

        watching = asyncio.create_task(handlers.watch(self.connection, self.observe, stop))
        try:
            await asyncio.wait({leading, watching}, return_when=asyncio.FIRST_COMPLETED)
            if leading.cancelled():
                await asyncio.wait({watching})
            return _status_of(task for task in (leading, watching) if task.done() and not task.cancelled())
        finally:
            for task in (leading, watching):
                task.cancel()
            await asyncio.gather(leading, watching, return_exceptions=True)
            await self.leader.release()
            await runner.cleanup()


def _status_of(done: Iterable[asyncio.Task[None]]) -> int:
    status = 0
    for task in done:
        error = task.exception()
        if error is not None:
            log.error("stopping: %s", "; ".join(_sentences(error)), exc_info=error)
            status = 1
    return status


def _sentences(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [sentence for inner in error.exceptions for sentence in _sentences(inner)]
    return [str(error) or repr(error)]


async def _main(settings: Settings) -> int:
    connection = await kube.Kube.connect()
    try:
        return await Operator(settings, connection).run()
    finally:
        await connection.close()


def main() -> int:
    """Entry point."""
    settings = Settings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(_main(settings))
    except KeyboardInterrupt:
        return 0
    except CarbonzeusError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return 1


if __name__ == "__main__":
    sys.exit(main())
