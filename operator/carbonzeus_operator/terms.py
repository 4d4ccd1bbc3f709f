"""What a job may count on: its policy, its bound, its grid zone, its curves. Pure.

Anything that cannot be used raises InvalidSpec, whose reason and sentence become a condition and an Event; the job then
runs at its reference limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from carbonzeus_operator import account
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid import zones
from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.learning import course as learned
from carbonzeus_operator.learning.study import Study
from carbonzeus_operator.learning.subject import Subject
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.resources.annotations import POLICY, PROFILE, JobRequest, parse
from carbonzeus_operator.resources.policy import CarbonPolicySpec, Mode
from carbonzeus_operator.resources.profile import PowerProfileSpec, ProfileSource, ThroughputUnit
from carbonzeus_operator.world.objects import Key, Pod
from carbonzeus_operator.world.snapshot import JobView, NodeView, Rules, Snapshot
from carbonzeus_wire import GpuState


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a job runs."""

    request: JobRequest
    policy: CarbonPolicySpec
    slowdown: float | None
    """The bound as a share; None under a carbonWeight."""


@dataclass(frozen=True, slots=True)
class Curves:
    """What is known of the job's GPUs: from its profile, or as learned."""

    groups: Mapping[str, Group]
    """By GPU product, cut to the limits that the policy allows: for planning."""
    whole: Mapping[str, Curve]
    """By GPU product, uncut: for accounting."""
    reference_rate: float | None
    """Progress a second at the reference limit; None where the profile's throughput is relative."""
    profile: str
    """The name of the PowerProfile."""
    study: Study | None = None
    """Where it is learned while the job trains."""


def terms_of(view: JobView, snapshot: Snapshot) -> Terms | None:
    """The job's terms; None where it did not opt in (or opted out)."""
    job = view.job
    request = parse(job.annotations, snapshot.namespaces.get(job.key.namespace, {}))
    if request is None:
        return None
    policy = snapshot.policies.get(request.policy)
    if policy is None:
        raise InvalidSpec(
            f"there is no CarbonPolicy {request.policy!r}. Create it, or name another one"
            f" ({', '.join(sorted(snapshot.policies)[:8]) or 'there are none'}) in {POLICY}",
            reason="PolicyNotFound",
        )
    if isinstance(policy, InvalidSpec):
        raise InvalidSpec(f"CarbonPolicy {request.policy!r} cannot be used: {policy}", reason="PolicyInvalid")
    return Terms(request, policy, policy.slowdown_for(request.max_slowdown))


def zone_of(view: JobView, policy: CarbonPolicySpec, snapshot: Snapshot, rules: Rules) -> tuple[str, Signal]:
    """The grid zone and signal of a job: the policy's, else that of the region its pods run in, by setting or as shipped."""
    if policy.zone is not None:
        return policy.zone, policy.signal
    nodes = [snapshot.nodes[pod.node] for pod in view.pods if pod.node is not None and pod.node in snapshot.nodes]
    regions = sorted({node.region for node in nodes if node.region is not None})
    for region in regions:
        zone = zones.zone_of(region, rules.zones)
        if zone is not None:
            return zone, policy.signal
    raise InvalidSpec(
        f"the policy names no zone, and no zone is known for the region of the job's nodes ({', '.join(regions) or 'none'})."
        " Set spec.zone in the policy, or add the region to the chart's grid.zones",
        reason="ZoneUnknown",
    )


def gpus_of(pod: Pod, nodes: Mapping[str, NodeView]) -> tuple[GpuState, ...]:
    """The GPUs that a pod holds, as its node's agent reports them, by UUID; empty while that is not known."""
    node = nodes.get(pod.node or "")
    if node is None:
        return ()
    return tuple(sorted((gpu for gpu in node.gpus if str(pod.key) in gpu.pods), key=lambda gpu: gpu.uuid))


def subject_of(view: JobView, terms: Terms, snapshot: Snapshot) -> Subject | None:
    """What can be learned of a job that names no profile; None where it names one, or not all of its GPUs are known.

    InvalidSpec for GPUs of several products: one curve cannot be told from another while they wait for each other.
    """
    if terms.request.profile is not None or not view.job.fingerprint:
        return None
    gpus = [gpu for pod in view.pods for gpu in gpus_of(pod, snapshot.nodes)]
    if not gpus or len(gpus) < sum(pod.gpus for pod in view.pods):
        return None
    products = sorted({gpu.product for gpu in gpus})
    if len(products) > 1:
        raise InvalidSpec(
            f"no power curve is known for this job, and none is learned while it runs on several GPU products"
            f" ({', '.join(products)}). Name a PowerProfile of its namespace in {PROFILE}",
            reason="MixedProducts",
        )
    references_w = [gpu.reference_limit_watts for gpu in gpus if gpu.reference_limit_watts is not None]
    if not references_w:
        raise InvalidSpec(
            f"no power curve is known for this job, and {products[0]!r} tells no power limit: there is nothing to learn",
            reason="NoProfile",
        )
    reference_w = min(references_w)
    return Subject(
        namespace=view.job.key.namespace,
        workload=view.job.workload,
        fingerprint=view.job.fingerprint,
        product=products[0],
        gpus=len(gpus),
        reference_limit_w=reference_w,
        minimum_w=_minimum_w(reference_w, gpus, terms.policy),
        counts=terms.request.progress is not None,
    )


def is_learned(subject: Subject, terms: Terms, snapshot: Snapshot) -> bool:
    """Whether a job is learned of: measuring needs a policy that enforces. Whoever owns its profile has the last word."""
    kept = snapshot.profiles.get(Key(subject.namespace, subject.profile))
    pinned = isinstance(kept, PowerProfileSpec) and kept.source is ProfileSource.USER
    return terms.policy.mode is Mode.ENFORCE and not pinned


def curves_of(view: JobView, terms: Terms, snapshot: Snapshot) -> Curves:
    """The job's curves, by GPU product. InvalidSpec where there are none for its GPUs."""
    gpus = [gpu for pod in view.pods for gpu in gpus_of(pod, snapshot.nodes)]
    name = terms.request.profile
    if name is None:
        subject = subject_of(view, terms, snapshot)
        study = view.study
        if subject is not None and study is not None and is_learned(subject, terms, snapshot):
            fleet = learned.fleet_of(study, terms.policy.power_limit.maximum_percent)
            return Curves(fleet, {subject.product: study.whole}, study.reference_rate, subject.profile, study)
        if subject is None or Key(subject.namespace, subject.profile) not in snapshot.profiles:
            raise InvalidSpec(
                "no power curve is known for this job, and none is learned under a policy that does not enforce. Name a"
                f" PowerProfile of its namespace in {PROFILE}, or run the job once under a policy of mode Enforce",
                reason="NoProfile",
            )
        name = subject.profile
    profile = snapshot.profiles.get(Key(view.job.key.namespace, name))
    if profile is None:
        raise InvalidSpec(
            f"there is no PowerProfile {name!r} in namespace {view.job.key.namespace!r}. Create it, or correct"
            f" {PROFILE}",
            reason="ProfileNotFound",
        )
    if isinstance(profile, InvalidSpec):
        raise InvalidSpec(f"PowerProfile {name!r} cannot be used: {profile}", reason="ProfileInvalid")
    groups: dict[str, Group] = {}
    whole: dict[str, Curve] = {}
    for product in sorted({gpu.product for gpu in gpus}):
        same = [gpu for gpu in gpus if gpu.product == product]
        whole[product], groups[product] = _curve(name, profile, product, same, terms.policy)
    return Curves(groups, whole, _reference_rate(profile, whole, len(gpus)), name)


def expected_work_s(request: JobRequest, curves: Curves) -> float | None:
    """The job's whole work [s at the reference limit], where the user said it: as a total of its progress, or as a duration."""
    if request.total_progress is not None and curves.reference_rate is not None:
        return request.total_progress / curves.reference_rate
    return request.expected_duration_s


def accounting_terms(
    view: JobView, before: account.Terms, products: Mapping[str, float | None], snapshot: Snapshot
) -> account.Terms:
    """What the account needs to know, as far as it is known; never raises.

    products: of the job's GPUs so far, with their reference limits [W] where an agent tells them. What is not known any more
    (the GPUs of a job that ended) stays as it was `before`.
    """
    try:
        terms = terms_of(view, snapshot)
    except InvalidSpec:
        terms = None
    if terms is None:
        return before
    if terms.request.profile is None and view.study is not None:
        return _studied_terms(view.study, before, products, terms)
    profile = snapshot.profiles.get(Key(view.job.key.namespace, _profile_name(view, terms, snapshot)))
    usable = profile if isinstance(profile, PowerProfileSpec) else None
    found: dict[str, account.Product] = {}
    curves: dict[str, Curve] = {}
    for product, told_w in products.items():
        old = before.products.get(product)
        reference_w = told_w or (old.reference_limit_w if old is not None else None)
        if reference_w is None:
            continue
        curve = _whole_curve(usable, product, reference_w)
        if curve is not None:
            curves[product] = curve
            reference_w = curve.reference_limit_w
        found[product] = account.Product(reference_w, curve)
    gpus = sum(pod.gpus for pod in view.pods)
    rate = _reference_rate(usable, curves, gpus) if usable is not None and gpus else before.reference_rate
    return account.Terms(
        products=found,
        progress=terms.request.progress is not None,
        reference_rate=rate if terms.request.progress is not None else None,
        host_w_per_gpu=terms.policy.overhead.host_watts_per_gpu,
        pue=terms.policy.overhead.pue_factor,
    )


def _studied_terms(
    study: Study, before: account.Terms, products: Mapping[str, float | None], terms: Terms
) -> account.Terms:
    """With the curve as learned by now. Work comes from it, not from the steps: their rate is what it is learned from."""
    found = {
        product: before.products.get(product, account.Product(told_w or 0.0)) for product, told_w in products.items()
    }
    found = {product: one for product, one in found.items() if one.reference_limit_w > 0}
    subject = study.subject
    found[subject.product] = account.Product(subject.reference_limit_w, study.whole)
    return account.Terms(
        products=found,
        progress=terms.request.progress is not None,
        reference_rate=None,
        host_w_per_gpu=terms.policy.overhead.host_watts_per_gpu,
        pue=terms.policy.overhead.pue_factor,
        curve_error=study.learner.r_error or before.curve_error,
    )


def _profile_name(view: JobView, terms: Terms, snapshot: Snapshot) -> str:
    if terms.request.profile is not None:
        return terms.request.profile
    try:
        subject = subject_of(view, terms, snapshot)
    except InvalidSpec:
        return ""
    return subject.profile if subject is not None else ""


def _whole_curve(profile: PowerProfileSpec | None, product: str, reference_w: float) -> Curve | None:
    if profile is None or profile.gpu_product != product:
        return None
    try:
        return Curve.from_points([Point(*point) for point in profile.to_points()], reference_w)
    except InvalidSpec:
        return None


def _reference_rate(profile: PowerProfileSpec, whole: Mapping[str, Curve], gpus: int) -> float | None:
    """Only a profile of as many GPUs tells the job's own speed; of another count, the ratios alone are used."""
    if profile.throughput_unit is not ThroughputUnit.PROGRESS or profile.gpu_count != gpus or len(whole) != 1:
        return None
    measured = Curve.from_points([Point(*point) for point in profile.to_points()], profile.reference_limit_w)
    at_reference = next(point.throughput for point in profile.to_points() if point.limit_w == profile.reference_limit_w)
    (curve,) = whole.values()
    return at_reference * measured.at(curve.reference_limit_w)[1]


def _curve(
    name: str, profile: PowerProfileSpec, product: str, gpus: list[GpuState], policy: CarbonPolicySpec
) -> tuple[Curve, Group]:
    if product != profile.gpu_product:
        raise InvalidSpec(
            f"PowerProfile {name!r} was measured on {profile.gpu_product!r}, but the job runs on {product!r}. Name a"
            f" profile of that GPU in {PROFILE}",
            reason="ProfileMismatch",
        )
    references = {gpu.reference_limit_watts for gpu in gpus} - {None}
    reference_w = min((value for value in references if value is not None), default=profile.reference_limit_w)
    points = [Point(*point) for point in profile.to_points()]
    minimum_w = _minimum_w(reference_w, gpus, policy)
    try:
        whole = Curve.from_points(points, reference_w)
        planned = Curve.from_points(
            points, reference_w, minimum_w=minimum_w, maximum_w=reference_w * policy.power_limit.maximum_percent / 100
        )
    except InvalidSpec as error:
        raise InvalidSpec(f"PowerProfile {name!r} cannot be used: {error}", reason=error.reason) from error
    return whole, Group(planned, len(gpus))


def _minimum_w(reference_w: float, gpus: Iterable[GpuState], policy: CarbonPolicySpec) -> float:
    """The lowest limit that may be planned [W]: the policy's, and no board's own is lower."""
    lowest_w = max((gpu.minimum_limit_watts or 0.0 for gpu in gpus), default=0.0)
    return max(reference_w * policy.power_limit.minimum_percent / 100, lowest_w)
