"""`python -m carbonzeus_agent`: the node agent, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from functools import partial

from pydantic import ValidationError

from carbonzeus_agent.agent import Agent
from carbonzeus_agent.api import api
from carbonzeus_agent.clock import SystemClock
from carbonzeus_agent.credentials import Credentials
from carbonzeus_agent.door import Door
from carbonzeus_agent.health import health
from carbonzeus_agent.journal import Journal
from carbonzeus_agent.ledger import Ledger
from carbonzeus_agent.nvml import Nvml
from carbonzeus_agent.pod_resources import PodResources
from carbonzeus_agent.refusals import Refusals
from carbonzeus_agent.scraper import Scraper
from carbonzeus_agent.settings import Settings

log = logging.getLogger("carbonzeus_agent")


async def run(settings: Settings) -> bool:
    """Run one agent until a signal asks for its end; returns whether it went as asked and every GPU was given back."""
    asked_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    clock = SystemClock()
    async with PodResources(settings.pod_resources_socket) as pod_resources, Scraper(clock) as scraper:
        agent = Agent(
            settings,
            Nvml(),
            clock,
            journal=Journal(settings.state_dir / "journal.db"),
            ledger=Ledger(settings.state_dir / "ledger.db", settings.retention, settings.ledger_max_bytes),
            pod_resources=pod_resources,
            scraper=scraper,
        )
        credentials = Credentials(settings.tls_dir, settings.namespace, clock)
        make_door = partial(
            Door,
            clock=clock,
            refusals=Refusals(agent.tally.registry, clock.boot_s),
            requests_per_s=settings.requests_per_second,
        )
        # Health first: a start that hangs must be visible.
        plain = make_door(health(agent, credentials), settings.pod_ip, settings.health_port)
        await plain.open()
        await agent.start()
        door = make_door(api(agent), settings.pod_ip, settings.api_port, credentials=credentials)
        await door.open()
        log.info(
            "node %s: %d GPUs, API at %s:%d", settings.node_name, len(agent.posts), settings.pod_ip, settings.api_port
        )
        signalled = asyncio.create_task(asked_to_end.wait())
        failures = [asyncio.create_task(part.failed()) for part in (agent, door, plain)]
        await asyncio.wait([signalled, *failures], return_when=asyncio.FIRST_COMPLETED)
        asked = asked_to_end.is_set()
        if asked:
            log.info("asked to end: giving GPUs back")
        for failure in failures:
            if failure.done():
                log.error("a loop has failed: giving GPUs back", exc_info=failure.exception())
            failure.cancel()
        signalled.cancel()
        await door.close()
        given_back = await agent.stop()
        await plain.close()
    return asked and given_back


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        settings = Settings()
    except ValidationError as error:
        print(f"carbonzeus_agent: {error}", file=sys.stderr)
        return 2
    return 0 if asyncio.run(run(settings)) else 1


if __name__ == "__main__":
    sys.exit(main())
