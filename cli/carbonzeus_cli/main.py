"""The entry points: `carbonzeus COMMAND` and `kubectl carbon COMMAND`. Exit codes: 0 done, 2 cannot be used, 130 stopped."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from carbonzeus_operator.errors import CarbonzeusError

EXTRA = ("numpy", "rich")
"""What the `cli` extra brings."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command."""
    try:
        from carbonzeus_cli.simulate import command, options  # noqa: PLC0415 - says what to install where it is missing
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        print("carbonzeus: the command line needs more: pip install 'carbonzeus[cli]'", file=sys.stderr)
        return 2
    prog = _prog(sys.argv[0])
    parser = ArgumentParser(prog=prog, description="Carbon-aware power limits for GPU training.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    options.add_to(
        commands.add_parser("simulate", help="what would have been saved, on recorded data", allow_abbrev=False)
    )
    given = parser.parse_args(arguments)
    try:
        command.run(options.Options.of(given))
        sys.stdout.flush()
    except CarbonzeusError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _prog(argv0: str) -> str:
    return "kubectl carbon" if Path(argv0).name.startswith("kubectl") else "carbonzeus"
