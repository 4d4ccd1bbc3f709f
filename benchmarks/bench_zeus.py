"""Side by side with Zeus: what it costs to profile a job, what is chosen, and whether both read the same energy.

    make bench-zeus        (.venv/bin/python -m benchmarks.bench_zeus [--zeus PYTHON])

PYTHON is an interpreter with the package `zeus`, from benchmarks/zeus/requirements.txt. Writes docs/bench-zeus.md. Zeus and the node agent are
the real ones, each in its own process; boards and trainings are the bed's. Exit status 1: ours broke the bound, or the readings differ by
more than they may.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import zeus_cells, zeus_energy, zeus_page
from benchmarks.zeus_cells import CELLS
from benchmarks.zeus_page import Row

from carbonzeus_bed.gpus import build_library
from carbonzeus_operator.world.snapshot import Rules

ROOT = Path(__file__).resolve().parents[1]
GRACE_S = Rules().grace_s


def main() -> int:
    """Run everything, write the page and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zeus", default=str(ROOT / ".venv/zeus/bin/python"), help="a Python with the package zeus")
    python = parser.parse_args().zeus
    if subprocess.run([python, "-c", "import zeus"], check=False).returncode != 0:
        sys.exit(f"{python} has no package zeus: run `make bench-zeus`, or install benchmarks/zeus/requirements.txt")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cz-bench-") as name, ThreadPoolExecutor(len(CELLS) + 2) as pool:
        folder = Path(name)
        lib_dir = build_library(folder / "lib").parent
        for sub in ("energy", *(f"{who}{number}" for who in ("zeus", "ours") for number in range(len(CELLS)))):
            (folder / sub).mkdir()
        ours = [
            pool.submit(zeus_cells.ours, cell, folder / f"ours{number}", lib_dir, GRACE_S)
            for number, cell in enumerate(CELLS)
        ]
        readings = pool.submit(zeus_energy.read_both, folder / "energy", lib_dir, python)
        # The steps of the quick ones are short: one after the other, so that each comes when it is due.
        zeus = [
            zeus_cells.zeus(cell, folder / f"zeus{number}", lib_dir, python, GRACE_S)
            for number, cell in enumerate(CELLS)
        ]
        rows = [Row(cell, theirs, us.result()) for cell, theirs, us in zip(CELLS, zeus, ours, strict=True)]
        both = readings.result()
    text = "\n".join(zeus_page.page(rows, both, GRACE_S, (time.monotonic() - began) / 60)) + "\n"
    (ROOT / "docs" / "bench-zeus.md").write_text(text, encoding="utf-8")
    print(text)
    broken = any(row.ours.outcome.most_behind_s > GRACE_S for row in rows)
    return int(broken or not zeus_page.agree(both))


if __name__ == "__main__":
    sys.exit(main())
