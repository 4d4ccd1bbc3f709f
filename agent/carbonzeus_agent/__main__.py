"""`python -m carbonzeus_agent`: the node agent, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from pydantic import ValidationError

from carbonzeus_agent.agent import Agent
from carbonzeus_agent.api import api
from carbonzeus_agent.clock import SystemClock
from carbonzeus_agent.health import health
from carbonzeus_agent.journal import Journal
from carbonzeus_agent.ledger import Ledger
from carbonzeus_agent.nvml import Nvml
from carbonzeus_agent.pod_resources import PodResources
from carbonzeus_agent.scraper import Scraper
from carbonzeus_agent.settings import Settings
from carbonzeus_agent.transport import serve

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
            ledger=Ledger(settings.state_dir / "ledger.db", settings.retention),
            pod_resources=pod_resources,
            scraper=scraper,
        )
        # Health first: a start that hangs must be visible.
        plain = await serve(health(agent), settings.pod_ip, settings.health_port)
        await agent.start()
        door = await serve(api(agent), settings.pod_ip, settings.api_port)
        log.info(
            "node %s: %d GPUs, API at %s:%d", settings.node_name, len(agent.posts), settings.pod_ip, settings.api_port
        )
        ends = [asyncio.create_task(asked_to_end.wait()), asyncio.create_task(agent.failed())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        asked = asked_to_end.is_set()
        if asked:
            log.info("asked to end: giving GPUs back")
        else:
            log.error("a loop has failed: giving GPUs back", exc_info=ends[1].exception())
        ends[0].cancel()
        ends[1].cancel()
        await door.cleanup()
        given_back = await agent.stop()
        await plain.cleanup()
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
