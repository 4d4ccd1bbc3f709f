"""What the benchmarks that write a page have in common."""

from __future__ import annotations

import argparse
import sys

from benchmarks.plan_cells import DATA


def workers(description: str | None) -> int:
    """How many processes to run, from the command line. Ends the program where the measured data is missing."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    number: int = parser.parse_args().workers
    if not DATA.is_dir():
        sys.exit(f"the measured curves and grids are not there: {DATA}")
    return number
