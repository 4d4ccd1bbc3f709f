"""`python -m carbonzeus_bed up|down|status|path`: a bed for people, in `.bed` unless told otherwise."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from carbonzeus_bed import programs
from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.nodes import DEFAULT_NODES, Node
from carbonzeus_bed.processes import StartFailed


def up(folder: Path, nodes: list[Node]) -> None:
    """Start a bed and leave it running."""
    programs.build()
    began = time.monotonic()
    cluster = Cluster(folder, nodes=nodes or DEFAULT_NODES).start()
    print(f"bed: up in {time.monotonic() - began:.1f} s")
    print(f"export KUBECONFIG={cluster.kubeconfig}")
    print(f"export PATH={cluster.state_dir / 'bin'}:$PATH  # kubectl and helm of the bed's versions")


def down(folder: Path, *, when_input_ends: bool) -> None:
    """Stop a bed, also one whose starter is gone."""
    if when_input_ends:
        sys.stdin.buffer.read()
    Cluster(folder).stop()


def status(folder: Path) -> bool:
    """Print the processes of a bed; whether all of them run."""
    processes = Cluster(folder).processes
    records = processes.records()
    for record in records:
        print(f"{record.name:60} {record.pid:>8}  {'runs' if processes.alive(record.name) else 'ended'}")
    if not records:
        print(f"no bed is up in {folder}")
    return bool(records) and all(processes.alive(record.name) for record in records)


def main() -> int:
    """The command line; 0 when it did what was asked."""
    parser = argparse.ArgumentParser(prog="python -m carbonzeus_bed", description=__doc__)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored for what it runs behind
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what is missing in the cache")
    starting = commands.add_parser("up", help="start a cluster and leave it running")
    starting.add_argument(
        "--node", dest="nodes", action="append", default=[], type=Node.parse, metavar="NAME[:GPUS[:PRODUCT[:REGION]]]"
    )
    stopping = commands.add_parser("down", help="stop it")
    stopping.add_argument("--when-input-ends", action="store_true", help="wait for the end of standard input before")
    showing = commands.add_parser("status", help="list its processes")
    for command in (starting, stopping, showing):
        command.add_argument("--dir", type=Path, default=Path(".bed"), help="its state folder (default: .bed)")
    path = commands.add_parser("path", help="print where a program of the bed lies")
    path.add_argument("program", choices=sorted(programs.MODULE_OF))
    args = parser.parse_args()
    try:
        match args.command:
            case "build":
                programs.build()
            case "up":
                up(args.dir, args.nodes)
            case "down":
                down(args.dir, when_input_ends=args.when_input_ends)
            case "status":
                return 0 if status(args.dir) else 1
            case _:
                print(programs.program(args.program))
    except (StartFailed, FileNotFoundError, RuntimeError) as error:
        print(f"bed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bed: interrupted, everything that was started is stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
