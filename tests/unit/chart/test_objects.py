"""What the chart installs: hardened pods, the smallest rights, switches that do what they say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from carbonzeus_operator.resources import ALL
from tests.unit.chart.conftest import CHART, Objects

OPERATOR = ("Deployment", "carbonzeus-operator")
AGENT = ("DaemonSet", "carbonzeus-agent")
READ = {"get", "list", "watch"}


def pod(objects: Objects, workload: tuple[str, str]) -> Any:
    """The pod template's spec."""
    return objects[workload]["spec"]["template"]["spec"]


def test_the_operator_runs_without_any_privilege(defaults):
    """Nobody, read-only, nothing to gain."""
    spec = pod(defaults, OPERATOR)
    (container,) = spec["containers"]
    assert container["command"] == ["python", "-m", "carbonzeus_operator"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_agent_has_sys_admin_and_nothing_else(defaults):
    """Root for the driver, without the other capabilities, the host's namespaces or a privileged container."""
    spec = pod(defaults, AGENT)
    (container,) = spec["containers"]
    assert container["command"] == ["python", "-m", "carbonzeus_agent"]
    assert container["securityContext"] == {
        "runAsUser": 0,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
    }
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


def test_the_agent_has_no_way_into_the_api(defaults):
    """No token in the pod, none with the account, no binding."""
    assert pod(defaults, AGENT)["automountServiceAccountToken"] is False
    assert defaults["ServiceAccount", "carbonzeus-agent"]["automountServiceAccountToken"] is False
    bound = [
        subject["name"]
        for (kind, _), one in defaults.items()
        if kind.endswith("RoleBinding")
        for subject in one["subjects"]
    ]
    assert set(bound) == {"carbonzeus-operator"}


def test_the_agent_sees_all_gpus_for_management_only(defaults):
    """It takes no GPU from the device plugin and needs no CUDA."""
    spec = pod(defaults, AGENT)
    (container,) = spec["containers"]
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (variables["NVIDIA_VISIBLE_DEVICES"], variables["NVIDIA_DRIVER_CAPABILITIES"]) == ("all", "utility")
    assert "nvidia.com/gpu" not in str(container["resources"])


def test_the_agent_keeps_its_journal_on_the_host_and_cannot_write_the_kubelets_folder(defaults):
    """The prior limits outlive pod and release."""
    spec = pod(defaults, AGENT)
    volumes = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert volumes == {"state": "/var/lib/carbonzeus", "pod-resources": "/var/lib/kubelet/pod-resources"}
    assert mounts["pod-resources"]["readOnly"] is True


def test_the_agent_gets_time_to_restore_limits_when_it_is_stopped(defaults):
    """Uninstalling is a SIGTERM to each agent."""
    assert pod(defaults, AGENT)["terminationGracePeriodSeconds"] == 30


def test_the_agent_runs_on_gpu_nodes(defaults):
    """Found by label, and let in by the usual taint."""
    spec = pod(defaults, AGENT)
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]


@pytest.mark.parametrize("workload", [OPERATOR, AGENT], ids=["operator", "agent"])
def test_probes_ask_the_plain_port(defaults, workload):
    """Health is apart from the API."""
    (container,) = pod(defaults, workload)["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert "metrics" in {port["name"] for port in container["ports"]}


@pytest.mark.parametrize("workload", [OPERATOR, AGENT], ids=["operator", "agent"])
def test_pods_carry_the_labels_that_the_operator_looks_for(render, workload):
    """And those that a user adds beside them."""
    component = workload[1].removeprefix("carbonzeus-")
    objects = render({component: {"podLabels": {"team": "ml"}, "podAnnotations": {"note": "x"}}})
    metadata = objects[workload]["spec"]["template"]["metadata"]
    assert metadata["labels"] == {
        "app.kubernetes.io/name": "carbonzeus",
        "app.kubernetes.io/component": component,
        "team": "ml",
    }
    assert metadata["annotations"] == {"note": "x"}


def test_the_operator_writes_nothing_but_its_own_kinds_events_and_its_lease(defaults):
    """No write verb on a kind of others, no wildcard, no `escalate`, `bind` or `impersonate`."""
    rules = [
        (kind, rule) for (kind, _), one in defaults.items() if kind in {"ClusterRole", "Role"} for rule in one["rules"]
    ]
    assert "*" not in str(rules)
    writes = {
        (kind, group, resource, verb)
        for kind, rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in READ
    }
    assert writes == {
        ("ClusterRole", "carbonzeus.dev", "carbonreports", "create"),
        ("ClusterRole", "carbonzeus.dev", "carbonreports", "delete"),
        ("ClusterRole", "carbonzeus.dev", "powerprofiles", "create"),
        ("ClusterRole", "carbonzeus.dev", "powerprofiles", "update"),
        ("ClusterRole", "carbonzeus.dev", "powerprofiles", "delete"),
        ("ClusterRole", "carbonzeus.dev", "carbonpolicies/status", "update"),
        ("ClusterRole", "carbonzeus.dev", "carbonreports/status", "update"),
        ("ClusterRole", "carbonzeus.dev", "powerprofiles/status", "update"),
        ("ClusterRole", "", "events", "create"),
        ("Role", "coordination.k8s.io", "leases", "create"),
        ("Role", "coordination.k8s.io", "leases", "update"),
        ("Role", "", "secrets", "update"),
    }


def test_only_the_operator_reaches_the_agents_api(defaults):
    """Everybody may ask for health and metrics."""
    policy = defaults["NetworkPolicy", "carbonzeus-agent"]["spec"]
    api, metrics = policy["ingress"]
    assert api["from"] == [
        {
            "podSelector": {
                "matchLabels": {"app.kubernetes.io/name": "carbonzeus", "app.kubernetes.io/component": "operator"}
            }
        }
    ]
    assert [port["port"] for port in api["ports"]] == ["api"]
    assert metrics == {"ports": [{"port": "metrics", "protocol": "TCP"}]}


def test_network_policies_are_switches(render):
    """Per component."""
    objects = render({"agent": {"networkPolicy": {"enabled": False}}, "operator": {"networkPolicy": {"enabled": True}}})
    assert {name for kind, name in objects if kind == "NetworkPolicy"} == {"carbonzeus-operator"}


def test_crds_are_kept_on_uninstall_by_default(defaults):
    """Reports outlive the release."""
    for resource in ALL:
        metadata = defaults["CustomResourceDefinition", resource.crd_name]["metadata"]
        assert metadata["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_crds_can_be_left_to_go_with_the_release(render):
    """`crds.keep: false`."""
    objects = render({"crds": {"keep": False}})
    assert all("annotations" not in one["metadata"] for (kind, _), one in objects.items() if kind.startswith("Custom"))


def test_crds_can_be_left_out(render):
    """`crds.enabled: false`, for those who apply `crds/` themselves."""
    assert not [kind for kind, _ in render({"crds": {"enabled": False}}) if kind.startswith("Custom")]


def test_the_charts_crds_are_those_of_the_folder(defaults):
    """Rendered, parsed, equal."""
    for path in (CHART.parents[1] / "crds").glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())
        rendered = defaults["CustomResourceDefinition", definition["metadata"]["name"]]
        assert rendered["spec"] == definition["spec"]


def test_grid_files_from_values_are_mounted(render):
    """As they are, under the name that the file provider looks for."""
    text = "issued_utc,start_utc,forecast_gco2eq_kwh,actual_gco2eq_kwh\n2021-08-01T00:00:00Z,2021-08-01T00:00:00Z,250,251.5\n"
    objects = render({"grid": {"file": {"data": {"US-CAL-CISO.csv": text}}}})
    assert objects["ConfigMap", "carbonzeus-grid"]["data"] == {"US-CAL-CISO.csv": text}
    spec = pod(objects, OPERATOR)
    assert {"name": "grid", "configMap": {"name": "carbonzeus-grid"}} in spec["volumes"]
    mount = {"name": "grid", "mountPath": "/etc/carbonzeus/grid", "readOnly": True}
    assert mount in spec["containers"][0]["volumeMounts"]


def test_a_config_map_of_the_users_own_is_mounted_instead(render):
    """And none is made."""
    objects = render({"grid": {"file": {"existingConfigMap": "my-grid"}}})
    assert {"name": "grid", "configMap": {"name": "my-grid"}} in pod(objects, OPERATOR)["volumes"]
    assert not [kind for kind, _ in objects if kind == "ConfigMap"]


def test_metrics_can_be_scraped(render):
    """A Service a component, a ServiceMonitor on request."""
    objects = render({"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}})
    services = [one for (kind, _), one in objects.items() if kind == "Service"]
    monitor = objects["ServiceMonitor", "carbonzeus"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    assert len(services) == 2
    assert all(wanted <= service["metadata"]["labels"].items() for service in services)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_scheduling_and_images_can_be_chosen(render):
    """Where clusters differ."""
    choice = {
        "image": {"repository": "registry.example/part", "tag": "1.2.3", "pullPolicy": "Always"},
        "nodeSelector": {"pool": "x"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-node-critical",
        "resources": {"limits": {"memory": "1Gi"}},
    }
    objects = render(
        {
            "operator": choice,
            "agent": {**choice, "runtimeClassName": "nvidia"},
            "imagePullSecrets": [{"name": "registry"}],
        }
    )
    for workload in (OPERATOR, AGENT):
        spec = pod(objects, workload)
        (container,) = spec["containers"]
        assert container["image"] == "registry.example/part:1.2.3"
        assert container["imagePullPolicy"] == "Always"
        assert container["resources"]["limits"] == {"memory": "1Gi"}
        assert spec["tolerations"] == [{"operator": "Exists"}]
        assert spec["nodeSelector"].items() >= {"pool": "x"}.items()
        assert spec["affinity"] == {"nodeAffinity": {}}
        assert spec["priorityClassName"] == "system-node-critical"
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert pod(objects, AGENT)["runtimeClassName"] == "nvidia"


def test_the_last_good_grid_data_can_be_kept(render):
    """On a claim of the user's own."""
    spec = pod(render({"operator": {"state": {"existingClaim": "carbon"}}}), OPERATOR)
    assert {"name": "state", "persistentVolumeClaim": {"claimName": "carbon"}} in spec["volumes"]


def test_agents_are_shown_their_own_secret_and_start_without_it(defaults):
    """Not the operator's, where the key of the authority is."""
    secrets = [volume["secret"] for volume in pod(defaults, AGENT)["volumes"] if "secret" in volume]
    assert secrets == [{"secretName": "carbonzeus-agent-tls", "optional": True, "defaultMode": 0o400}]


def test_secrets_are_made_without_data_so_that_an_upgrade_wipes_none(defaults):
    """Helm takes away only what it once wrote."""
    secrets = {name: one for (kind, name), one in defaults.items() if kind == "Secret"}
    assert secrets.keys() == {"carbonzeus-operator-tls", "carbonzeus-agent-tls"}
    assert not any({"data", "stringData"} & one.keys() for one in secrets.values())


def test_cert_manager_makes_certificates_of_the_same_names_and_uses(render):
    """And the operator may only read its own."""
    issuer = {"name": "carbon-ca", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    objects = render({"tls": {"mode": "CertManager", "certManager": {"issuerRef": issuer}}})
    made = {name: one["spec"] for (kind, name), one in objects.items() if kind == "Certificate"}
    assert {name: (spec["secretName"], spec["dnsNames"], spec["usages"][1]) for name, spec in made.items()} == {
        "carbonzeus-operator": ("carbonzeus-operator-tls", ["operator.carbon-system.carbonzeus"], "client auth"),
        "carbonzeus-agent": ("carbonzeus-agent-tls", ["agent.carbon-system.carbonzeus"], "server auth"),
    }
    assert all(spec["issuerRef"] == issuer for spec in made.values())
    assert not [kind for kind, _ in objects if kind == "Secret"]
    [rule] = [rule for rule in objects["Role", "carbonzeus-operator"]["rules"] if rule["resources"] == ["secrets"]]
    assert (rule["resourceNames"], rule["verbs"]) == (["carbonzeus-operator-tls"], ["get"])
