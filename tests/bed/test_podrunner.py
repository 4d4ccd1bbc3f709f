"""Pods of carbonzeus run as real processes, with what a kubelet would have given them."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from carbonzeus_bed.api import ApiError, wait_until
from carbonzeus_bed.cluster import Cluster

pytestmark = pytest.mark.bed

NAMESPACE = "fake"
CORE = f"/api/v1/namespaces/{NAMESPACE}"

# A stand-in for our programs: tells what it was given, is ready when a mounted file says so, and leaves a note at SIGTERM.
MAIN = """
import http.server, json, os, pathlib, signal, ssl, sys, urllib.error, urllib.request

here = pathlib.Path(os.environ["SETTINGS"])

def who_am_i():
    config = json.loads(pathlib.Path(os.environ["KUBECONFIG"]).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    import base64
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    token = pathlib.Path(user["tokenFile"]).read_text()
    body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode()
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    url = cluster["server"] + "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), context=tls) as reply:
        return json.load(reply)["status"]["userInfo"]["username"]

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = (here / "ready").read_text() == "yes"
        self.send_response(200 if self.path != "/readyz" or ready else 503)
        self.end_headers()
        answer = {"environment": dict(os.environ), "arguments": sys.argv[1:], "pid": os.getpid(), "ready": ready}
        if self.path == "/whoami":
            answer = who_am_i()
        self.wfile.write(json.dumps(answer).encode())
    def log_message(self, *words): pass

def stop(*_):
    print("starting to stop\\nstopping", flush=True)
    pathlib.Path(os.environ["STATE"], "stopped").write_text("by SIGTERM")
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
http.server.HTTPServer((os.environ["POD_IP"], 9811), Handler).serve_forever()
"""


def pod_manifest(name: str, **changes: Any) -> dict[str, Any]:
    """A pod like those of our chart, with the stand-in as its program."""
    container = {
        "name": "agent",
        "image": "carbonzeus-agent",
        "command": ["python", "/app/main.py"],
        "args": ["--node=$(NODE)", "/var/lib/kubelet/pod-resources/kubelet.sock"],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "STATE", "value": "/var/lib/carbonzeus"},
            {"name": "SETTINGS", "value": "/etc/settings"},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "password", "key": "word"}}},
            {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"},
        ],
        "ports": [{"name": "metrics", "containerPort": 9811}],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "metrics"},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
        "volumeMounts": [
            {"name": "app", "mountPath": "/app"},
            {"name": "settings", "mountPath": "/etc/settings"},
            {"name": "state", "mountPath": "/var/lib/carbonzeus"},
            {"name": "pod-resources", "mountPath": "/var/lib/kubelet/pod-resources"},
        ],
    }
    spec = {
        "nodeName": "gpu-a",
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": [
            {"name": "app", "configMap": {"name": "app"}},
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "state", "hostPath": {"path": f"/var/lib/{name}"}},
            {"name": "pod-resources", "hostPath": {"path": "/var/lib/kubelet/pod-resources"}},
        ],
    }
    labels = {"app.kubernetes.io/name": "carbonzeus", "app.kubernetes.io/component": "agent"}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec | changes}


def pod_status(bed: Cluster, name: str) -> dict[str, Any]:
    """The status of a pod."""
    status: dict[str, Any] = bed.api.get(f"{CORE}/pods/{name}")["status"]
    return status


def is_ready(bed: Cluster, name: str) -> bool:
    """The pod's Ready condition."""
    conditions = {entry["type"]: entry["status"] for entry in pod_status(bed, name).get("conditions", [])}
    return conditions.get("Ready") == "True"


def ask(bed: Cluster, name: str, path: str = "/") -> Any:
    """What the stand-in answers on its pod address."""
    with urllib.request.urlopen(f"http://{pod_status(bed, name)['podIP']}:9811{path}", timeout=5) as reply:
        return json.load(reply)


def gone(bed: Cluster, name: str) -> bool:
    """Whether the Pod object is deleted."""
    try:
        bed.api.get(f"{CORE}/pods/{name}")
    except ApiError as error:
        return error.status == 404
    return False


@pytest.fixture(scope="module")
def namespace(bed: Cluster) -> None:
    """A namespace with what the pods refer to."""
    bed.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    bed.api.create(f"{CORE}/configmaps", {"metadata": {"name": "app"}, "data": {"main.py": MAIN}})
    bed.api.create(f"{CORE}/configmaps", {"metadata": {"name": "settings"}, "data": {"ready": "yes"}})
    bed.api.create(f"{CORE}/secrets", {"metadata": {"name": "password"}, "stringData": {"word": "open sesame"}})
    assert wait_until(lambda: bool(bed.api.get(f"{CORE}/serviceaccounts/default")), 10)


@pytest.fixture
def pod(bed: Cluster, namespace: None, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a ready pod."""
    name = f"p{abs(hash(request.node.name)) % 10**8}"
    bed.api.create(f"{CORE}/pods", pod_manifest(name))
    assert wait_until(lambda: is_ready(bed, name), 20), bed.pods(NAMESPACE).log(name)
    yield name
    bed.pods(NAMESPACE).release(name)
    bed.api.delete(f"{CORE}/pods/{name}")
    assert wait_until(lambda: gone(bed, name), 20)


def test_a_pod_gets_the_environment_of_its_spec(bed: Cluster, pod: str) -> None:
    """Fields, secrets and the driver's library are there, and paths below mounts are local ones."""
    answer = ask(bed, pod)
    environment = answer["environment"]
    assert environment["POD_IP"] == pod_status(bed, pod)["podIP"]
    assert environment["NODE"] == "gpu-a"
    assert environment["PASSWORD"] == "open sesame"
    assert environment["STATE"] == str(bed.node_dir("gpu-a") / "var" / "lib" / pod)
    assert environment["LD_LIBRARY_PATH"] == str(bed.lib_dir)
    assert environment["CARBONZEUS_EMULATED_NODE"] == str(bed.node_dir("gpu-a"))
    assert answer["arguments"] == [
        "--node=gpu-a",
        str(bed.node_dir("gpu-a") / "pod-resources" / "kubelet.sock"),
    ]


def test_a_pod_speaks_to_the_api_as_its_service_account(bed: Cluster, pod: str) -> None:
    """The API server knows the process by the token of its pod."""
    assert ask(bed, pod, "/whoami") == f"system:serviceaccount:{NAMESPACE}:default"


def test_a_pod_without_token_has_no_credentials(bed: Cluster, namespace: None) -> None:
    """With automountServiceAccountToken false there is no kubeconfig either."""
    bed.api.create(f"{CORE}/pods", pod_manifest("tokenless", automountServiceAccountToken=False))
    assert wait_until(lambda: is_ready(bed, "tokenless"), 20)
    assert "KUBECONFIG" not in ask(bed, "tokenless")["environment"]
    bed.api.delete(f"{CORE}/pods/tokenless")
    assert wait_until(lambda: gone(bed, "tokenless"), 20)


def test_a_pod_is_ready_when_its_probe_says_so(bed: Cluster, pod: str) -> None:
    """A changed ConfigMap reaches the mounted file, and readiness follows the probe, both ways."""
    settings = f"{CORE}/configmaps/settings"
    bed.api.merge(settings, {"data": {"ready": "no"}})
    assert wait_until(lambda: not is_ready(bed, pod), 20)
    bed.api.merge(settings, {"data": {"ready": "yes"}})
    assert wait_until(lambda: is_ready(bed, pod), 20)


def test_a_killed_process_is_restarted_and_counted(bed: Cluster, pod: str) -> None:
    """After SIGKILL a new process takes over, and the pod's status counts it."""
    before = ask(bed, pod)["pid"]
    bed.pods(NAMESPACE).kill(pod)
    assert wait_until(lambda: bool(ask(bed, pod)["pid"] != before), 20)
    assert wait_until(lambda: pod_status(bed, pod)["containerStatuses"][0]["restartCount"] == 1, 20)


def test_a_held_process_stays_down_until_released(bed: Cluster, pod: str) -> None:
    """With `hold` the pod stays without a process, unready, until it is let go."""
    bed.pods(NAMESPACE).kill(pod, hold=True)
    assert wait_until(lambda: not is_ready(bed, pod), 20)
    assert bed.pods(NAMESPACE).pid(pod) is None
    bed.pods(NAMESPACE).release(pod)
    assert wait_until(lambda: is_ready(bed, pod), 20)


def test_a_deleted_pod_ends_by_sigterm_before_its_object_goes(bed: Cluster, pod: str) -> None:
    """The process can clean up, and only then the object disappears."""
    note = bed.node_dir("gpu-a") / "var" / "lib" / pod / "stopped"
    bed.api.delete(f"{CORE}/pods/{pod}")
    assert wait_until(lambda: gone(bed, pod), 20)
    assert note.read_text(encoding="utf-8") == "by SIGTERM"
    assert bed.pods(NAMESPACE).pods() == []


def test_a_pod_that_cannot_start_says_why_and_starts_later(bed: Cluster, namespace: None) -> None:
    """A missing Secret holds the pod back; it starts when the Secret comes."""
    manifest = pod_manifest("early")
    manifest["spec"]["containers"][0]["env"][4]["valueFrom"]["secretKeyRef"]["name"] = "late"
    bed.api.create(f"{CORE}/pods", manifest)

    def waits() -> bool:
        states = [container["state"] for container in pod_status(bed, "early").get("containerStatuses", [])]
        return states == [{"waiting": {"reason": "CreateContainerConfigError"}}]

    assert wait_until(waits, 20)
    bed.api.create(f"{CORE}/secrets", {"metadata": {"name": "late"}, "stringData": {"word": "now"}})
    assert wait_until(lambda: is_ready(bed, "early"), 20)
    bed.api.delete(f"{CORE}/pods/early")
    assert wait_until(lambda: gone(bed, "early"), 20)


def test_a_pod_that_runs_once_ends_with_its_process(bed: Cluster, namespace: None) -> None:
    """With restartPolicy Never the exit code decides between Succeeded and Failed."""
    for name, code, phase in (("good", 0, "Succeeded"), ("bad", 3, "Failed")):
        manifest = pod_manifest(name, restartPolicy="Never")
        manifest["spec"]["containers"][0] |= {"command": ["python", "-c", f"raise SystemExit({code})"], "args": []}
        bed.api.create(f"{CORE}/pods", manifest)
        assert wait_until(lambda: pod_status(bed, name)["phase"] == phase, 20)  # noqa: B023 (asked at once)
        state = pod_status(bed, name)["containerStatuses"][0]["state"]
        assert state["terminated"]["exitCode"] == code
        bed.api.delete(f"{CORE}/pods/{name}")
        assert wait_until(lambda: gone(bed, name), 20)  # noqa: B023 (asked at once)


def test_a_restarted_pod_runner_takes_the_pods_over(bed: Cluster, pod: str) -> None:
    """Killed and started again, it ends the processes it does not know and starts the pods anew."""
    before = ask(bed, pod)["pid"]
    bed.kill("podrunner")
    bed.start_process("podrunner")
    assert wait_until(lambda: bool(ask(bed, pod)["pid"] != before), 20)
    assert bed.pods(NAMESPACE).pods() == [pod]


def test_kubectl_shows_the_log_of_a_pod(bed: Cluster, pod: str) -> None:
    """`kubectl logs` reads what the process wrote; an emulated pod says that it has none."""
    ask(bed, pod, "/whoami")
    bed.pods(NAMESPACE).kill(pod, number=signal.SIGTERM)
    assert wait_until(lambda: "stopping" in bed.kubectl("logs", "-n", NAMESPACE, pod), 20)
    assert bed.kubectl("logs", "-n", NAMESPACE, pod, "--tail=1") == "stopping\n"
