"""`python -m carbonzeus_bed.demo [--keep] [--dir .demo]`: plays the demo, checks it; 0 when everything held."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from carbonzeus_bed import programs
from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo import picture
from carbonzeus_bed.demo.checks import Evidence, check
from carbonzeus_bed.demo.frame import Boards
from carbonzeus_bed.demo.play import Play, Stuck
from carbonzeus_bed.demo.scenario import NOISE, RELEASE
from carbonzeus_bed.processes import StartFailed

PICTURE = "demo.png"


def perform(cluster: Cluster, console: Console) -> bool:
    """Plays on a cluster that is up, and prints what came of it; whether every check held."""
    with Boards(cluster) as boards:
        play = Play(cluster, boards, console)
        say("installing carbonzeus with helm")
        play.install()
        say(
            "submitting three PyTorchJobs: resnet-solo and resnet-duo under the policy gentle (3 %), resnet-plain without"
        )
        play.submit()
        play.watch()
        evidence = play.evidence()
        path = cluster.state_dir / PICTURE
        picture.draw(path, play.recording, play.replay, evidence.truth, play.frames)
    print(f"\n$ kubectl get carbonreports -o wide\n{cluster.kubectl('get', 'carbonreports', '--output', 'wide')}")
    summarise(evidence)
    say(f"picture: {path}")
    return judge(evidence)


def summarise(evidence: Evidence) -> None:
    """What was saved, in its two parts."""
    for job in evidence.managed:
        report = evidence.reports[job.name]
        if report.saved_ug is None or report.baseline_ug is None:
            continue
        print(
            f"{job.name}: saved {report.saved} ({report.saved_ug / 1e6:.2f} g of {report.baseline_ug / 1e6:.2f} g)"
            f": {report.efficiency} by efficiency and {report.timing} by timing; {report.slowdown} slower"
        )


def judge(evidence: Evidence) -> bool:
    """Prints a line a check."""
    print()
    checks = check(evidence)
    for one in checks:
        print(f"{'ok  ' if one.ok else 'FAIL'} {one.name}: {one.detail}")
    failed = [one.name for one in checks if not one.ok]
    if failed:
        print(f"\ndemo: {len(failed)} of {len(checks)} checks failed: {'; '.join(failed)}", file=sys.stderr)
    return not failed


def explain(cluster: Cluster, folder: Path) -> None:
    """How to go on with a bed that is left running."""
    played = cluster.state_dir / "played"
    print(
        f"""
The bed is left running. To use it:
  export KUBECONFIG={cluster.kubeconfig}
  export PATH={cluster.state_dir / "bin"}:$PATH
  kubectl describe carbonreports
To play the four days again:
  kubectl delete pytorchjobs --all
  helm upgrade {RELEASE} charts/carbonzeus -n {RELEASE} --reuse-values --set grid.replay.wallStart=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  kubectl create -f {played / "jobs.yaml"}
To stop it:
  make bed-down BED={folder}"""
    )


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m carbonzeus_bed.demo", description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path(".demo"), help="its folder (default: .demo)")
    parser.add_argument("--keep", action="store_true", help="leave the bed running")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored for what it runs behind
    began = time.monotonic()
    cluster = Cluster(args.dir, noise=NOISE)
    if cluster.running:
        print(f"demo: one is still running in {args.dir}: stop it with make bed-down BED={args.dir}", file=sys.stderr)
        return 1
    try:
        programs.build()
        say("bringing up a bed: etcd, Kubernetes, the training-operator, two nodes with four emulated A40 each")
        cluster.start(until_we_end=not args.keep)
    except (StartFailed, RuntimeError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted, everything that was started is stopped", file=sys.stderr)
        return 130
    keep = False
    try:
        held = perform(cluster, Console())
        keep = args.keep
    except (Stuck, RuntimeError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        keep = args.keep
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted, stopping everything", file=sys.stderr)
        return 130
    else:
        say(f"{'everything held' if held else 'not everything held'}, {time.monotonic() - began:.0f} s in all")
        return 0 if held else 1
    finally:
        if keep:
            explain(cluster, args.dir)
        else:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
