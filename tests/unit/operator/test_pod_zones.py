"""Jobs whose pods are in several grid zones: which data they need, and where their energy is weighed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from carbonzeus_operator import account as accounts
from carbonzeus_operator.account import Account, Cell
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.grid.view import GridView
from carbonzeus_operator.pod_zones import pod_zones
from carbonzeus_operator.resources.ledger import MAX_ZONES
from carbonzeus_operator.run import Run, report_key
from carbonzeus_operator.world.snapshot import JobView, NodeView, Rules, Snapshot
from carbonzeus_wire import EnergyRecord, Quality
from tests.unit.operator.world import NOON, cluster, gpu, job, pod, policy

HOUR = timedelta(hours=1)
RULES = Rules(zones={"here": "US-CAL-CISO", "there": "DE"})
VIEW = JobView(job(workers=2), (pod("w-0", "n1"), pod("w-1", "n2")))
NODES = {
    "n1": NodeView("n1", "here", (gpu("GPU-1", "ml/w-0"),), problem=None),
    "n2": NodeView("n2", "there", (gpu("GPU-2", "ml/w-1"),), problem=None),
}
OPEN = {"gentle": policy(zone=None)}


def snapshot(**more: object) -> Snapshot:
    return cluster(VIEW, **({"nodes": NODES, "policies": OPEN} | more))


def test_each_pod_is_in_the_zone_of_its_node() -> None:
    """By the region of the node and the zones of regions."""
    assert pod_zones(VIEW, snapshot(), RULES) == {"uid-w-0": "US-CAL-CISO", "uid-w-1": "DE"}


def test_a_policys_zone_is_that_of_all_pods() -> None:
    """The admin says where the power comes from, wherever the nodes say they are."""
    named = snapshot(policies={"gentle": policy()})
    assert pod_zones(VIEW, named, RULES) == {"uid-w-0": "", "uid-w-1": ""}


def test_where_nothing_is_known_nothing_is_said() -> None:
    """A node without a region or of an unknown one, a policy that is gone: what was known before stays."""
    nodes = NODES | {"n2": NodeView("n2", None, (), problem=None)}
    assert pod_zones(VIEW, snapshot(nodes=nodes), RULES) == {"uid-w-0": "US-CAL-CISO"}
    assert pod_zones(VIEW, snapshot(), Rules(zones={"here": "US-CAL-CISO"})) == {"uid-w-0": "US-CAL-CISO"}
    assert pod_zones(VIEW, snapshot(policies={}), RULES) == {}


def test_pods_in_more_zones_than_a_report_tells_apart_count_in_the_jobs() -> None:
    """Nothing fails for a job that is everywhere."""
    many = MAX_ZONES + 3
    view = JobView(job(workers=many), tuple(pod(f"w-{n}", f"n{n}") for n in range(many)))
    nodes = {f"n{n}": NodeView(f"n{n}", f"region-{n:02}", (), problem=None) for n in range(many)}
    rules = Rules(zones={f"region-{n:02}": f"Z{n:02}" for n in range(many)})
    found = pod_zones(view, snapshot(nodes=nodes), rules)
    assert [found[f"uid-w-{n}"] for n in range(many)] == [f"Z{n:02}" for n in range(MAX_ZONES)] + [""] * 3


def run_of(view: JobView = VIEW) -> Run:
    run = Run(view.job, report_key(view.job), grid_key=("US-CAL-CISO", Signal.MARGINAL))
    run.observe(view.pods, NODES, NOON, pod_zones(view, snapshot(), RULES))
    return run


def test_a_run_needs_the_data_of_all_its_zones() -> None:
    """Of those that its pods run in, and of those whose cells are not settled; all of one signal."""
    run = run_of()
    keys = {zone: (zone, Signal.MARGINAL) for zone in ("US-CAL-CISO", "DE")}
    assert run.grid_keys() == {"": ("US-CAL-CISO", Signal.MARGINAL)} | keys
    run.account = replace(Account(), cells=(Cell(0, 900_000_000, "FR"),))
    assert set(run.grid_keys()) == {"", "FR"}
    run.grid_key = None
    assert run.grid_keys() == {}


def test_a_pod_stays_in_its_zone_while_its_node_is_not_seen() -> None:
    """And follows the policy when that begins to name one."""
    run = run_of()
    run.observe(VIEW.pods, NODES, NOON, {})
    assert [one.zone for one in run.account.pods] == ["US-CAL-CISO", "DE"]
    run.observe(VIEW.pods, NODES, NOON, pod_zones(VIEW, snapshot(policies={"gentle": policy()}), RULES))
    assert [one.zone for one in run.account.pods] == ["", ""]


def grid_of(zone: str, grams: float) -> GridView:
    intervals = (Interval(NOON, NOON + HOUR, grams),)
    series = Series(zone, Signal.MARGINAL, Factor.DIRECT, "Sample", NOON, intervals)
    return GridView(None, series, None, None)


def test_each_zones_data_weighs_the_energy_drawn_there() -> None:
    """An hour of 250 W in each: 100 g/kWh here, 800 there. The job's own zone alone is what status.zone says."""
    run = run_of()
    grid = {("US-CAL-CISO", Signal.MARGINAL): grid_of("US-CAL-CISO", 100), ("DE", Signal.MARGINAL): grid_of("DE", 800)}
    records = [
        EnergyRecord(
            seq=number + 1,
            gpu_uuid=f"GPU-{number + 1}",
            pod_uid=f"uid-w-{number}",
            start=NOON,
            end=NOON + HOUR,
            energy_millijoules=250 * 3_600_000,
            quality=Quality.COUNTER,
        )
        for number in range(2)
    ]
    run.ledgers = {"ledger-1"}
    run.fold("ledger-1", records, series=tuple(view.actual for view in run.grid_of(grid).values()))
    run.settle(grid, NOON + 2 * HOUR)
    assert run.account.cells == ()
    assert accounts.figures(run.account, run.terms).realised_ug == 25_000_000 + 200_000_000
    assert [one.zone for one in run.account.grids] == ["DE", "US-CAL-CISO"]
