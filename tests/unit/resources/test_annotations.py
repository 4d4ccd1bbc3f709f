"""How a user asks: annotations on the job and on its namespace."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.annotations import JobRequest, parse, policy_of
from carbonzeus_wire import ProgressSource

POLICY = "carbonzeus.dev/policy"


def asked(**more: str) -> JobRequest | None:
    """A request of policy `gentle` with more annotations, by their short names (`max_slowdown` for max-slowdown)."""
    return parse(
        {POLICY: "gentle", **{f"carbonzeus.dev/{key.replace('_', '-')}": value for key, value in more.items()}}, {}
    )


def test_a_job_without_annotation_has_not_asked():
    """And is left alone, whatever else is annotated."""
    assert parse({"example.com/policy": "gentle"}, {}) is None


def test_a_job_asks_by_naming_a_policy():
    """One annotation is enough."""
    assert parse({POLICY: "gentle"}, {}) == JobRequest(policy="gentle")


def test_a_namespace_asks_for_all_its_jobs():
    """The policy is inherited."""
    assert parse({}, {POLICY: "gentle"}) == JobRequest(policy="gentle")


def test_the_jobs_own_policy_goes_before_that_of_its_namespace():
    """The nearer word counts."""
    assert parse({POLICY: "strict"}, {POLICY: "gentle"}) == JobRequest(policy="strict")


@pytest.mark.parametrize("job", [{POLICY: "none"}, {POLICY: " none "}])
def test_none_opts_a_job_out_of_its_namespace(job):
    """Also with stray blanks."""
    assert parse(job, {POLICY: "gentle"}) is None


def test_only_the_policy_is_inherited():
    """Bounds and endpoints belong to a job."""
    assert parse({}, {POLICY: "gentle", "carbonzeus.dev/max-slowdown": "1%"}) == JobRequest(policy="gentle")


def test_a_full_request():
    """Everything a job can say."""
    assert asked(
        max_slowdown="1.5%",
        progress="port=9100, path=/stats/metrics, metric=train_steps_total",
        profile="resnet50-a40",
        expected_duration="1d12h",
        workload="ResNet50_b128.v2",
    ) == JobRequest(
        policy="gentle",
        max_slowdown=0.015,
        progress=ProgressSource(port=9100, path="/stats/metrics", metric="train_steps_total"),
        profile="resnet50-a40",
        expected_duration_s=129_600.0,
        workload="ResNet50_b128.v2",
    )


def test_the_progress_path_is_metrics_by_default():
    """As with Prometheus."""
    assert asked(progress="metric=steps,port=80") == JobRequest(
        policy="gentle", progress=ProgressSource(port=80, path="/metrics", metric="steps")
    )


def test_progress_may_say_how_much_of_it_there_will_be():
    """Then the job's end is known."""
    assert asked(progress="port=80,metric=steps,total=90000") == JobRequest(
        policy="gentle", progress=ProgressSource(port=80, path="/metrics", metric="steps"), total_progress=90_000.0
    )


@pytest.mark.parametrize(("text", "seconds"), [("36h", 129_600), ("2d", 172_800), ("90m", 5_400), ("45s", 45)])
def test_durations(text, seconds):
    """Days, hours, minutes, seconds."""
    assert asked(expected_duration=text) == JobRequest(policy="gentle", expected_duration_s=seconds)


@pytest.mark.parametrize("name", ["a", "7", "w" * 63])
def test_a_workload_has_a_name_of_up_to_63_characters(name):
    """As long as the value of a label."""
    assert asked(workload=name) == JobRequest(policy="gentle", workload=name)


@pytest.mark.parametrize(
    ("annotation", "value", "fault"),
    [
        ("max_slowdown", "5", "is no percentage"),
        ("max_slowdown", "-1%", "is no percentage"),
        ("max_slowdown", "250%", "is no percentage"),
        ("progress", "9100", "'9100', which is none of port=, path=, metric=, total="),
        ("progress", "port=9100", "says no metric="),
        ("progress", "path=/x", "says no port= and no metric="),
        ("progress", "port=0,metric=a", "port=0, which is not a port"),
        ("progress", "port=x,metric=a", "port=x, which is not a port"),
        ("progress", "port=80,port=81,metric=a", "says port= twice"),
        ("progress", "port=80,metric=a b", "which is not the name of a Prometheus counter"),
        ("progress", "port=80,metric=a,path=//evil.example/x?y", "which is not a path"),
        ("progress", "port=80,metric=a,host=10.0.0.1", "'host=10.0.0.1', which is none of"),
        ("progress", "port=80,metric=a,total=0", "total=0, which is not a whole number above 0"),
        ("progress", "port=80,metric=a,total=1e6", "total=1e6, which is not a whole number above 0"),
        ("progress", "port=80,metric=a,total=-5", "total=-5, which is not a whole number above 0"),
        ("profile", "ResNet 50", "is no name of an object"),
        ("profile", "a" * 254, "is no name of an object"),
        ("expected_duration", "36", "is no duration"),
        ("expected_duration", "1w", "is no duration"),
        ("expected_duration", "0h", "is not above 0"),
        ("expected_duration", "366d", "is not above 0 and at most 365d"),
        ("expected_duration", "", "is no duration"),
        ("workload", "ResNet 50", "is no name of a workload"),
        ("workload", "lab/resnet", "is no name of a workload"),
        ("workload", "resnet-", "is no name of a workload"),
        ("workload", "w" * 64, "is no name of a workload"),
        ("workload", "", "is no name of a workload"),
    ],
)
def test_a_bad_value_is_named_with_its_annotation_and_a_good_example(annotation, value, fault):
    """What was wrong, where, and what to do."""
    with pytest.raises(InvalidSpec) as error:
        asked(**{annotation: value})
    key = f"carbonzeus.dev/{annotation.replace('_', '-')}"
    assert str(error.value).startswith(f"the annotation {key}: {value!r} ")
    assert fault in str(error.value)
    assert f"a good one is {key}: " in str(error.value)
    assert error.value.reason == "InvalidAnnotation"


def test_all_faults_are_told_at_once():
    """So that nobody mends them one by one."""
    with pytest.raises(InvalidSpec) as error:
        parse({POLICY: "Gentle!", "carbonzeus.dev/max-slowdown": "5", "carbonzeus.dev/profile": "?"}, {})
    assert str(error.value).count("a good one is") == 3


def test_a_bad_policy_of_the_namespace_is_blamed_on_the_namespace():
    """So that nobody looks for it on the job."""
    with pytest.raises(
        InvalidSpec, match=r"the annotation carbonzeus\.dev/policy of the namespace: 'Gentle!' is no name"
    ):
        parse({}, {POLICY: "Gentle!"})


def test_a_misspelt_annotation_is_an_error():
    """A bound that is silently ignored would break the promise."""
    with pytest.raises(InvalidSpec, match=r"max-slowdwon is not known: did you mean carbonzeus\.dev/max-slowdown"):
        asked(max_slowdwon="1%")


def test_a_misspelt_annotation_of_a_job_that_has_not_asked_is_none_of_our_business():
    """Opting in comes first."""
    assert parse({"carbonzeus.dev/max-slowdwon": "1%"}, {}) is None


@given(
    st.text(max_size=80),
    st.sampled_from(["policy", "max-slowdown", "progress", "profile", "expected-duration", "workload"]),
)
def test_any_text_is_a_request_or_a_named_fault(text, annotation):
    """Nothing a user writes raises anything but InvalidSpec; `policy_of` never raises."""
    annotations = {POLICY: "gentle", f"carbonzeus.dev/{annotation}": text}
    policy_of(annotations, {})
    with suppress(InvalidSpec):
        parse(annotations, {})
