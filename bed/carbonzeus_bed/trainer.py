"""The real Kubeflow training-operator: its job kinds, its rights, its process."""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
import tempfile
from pathlib import Path

import yaml

from carbonzeus_bed import kubeconfig, programs
from carbonzeus_bed.api import Api
from carbonzeus_bed.certs import Authority
from carbonzeus_bed.control_plane import ControlPlane

NAMESPACE = "kubeflow"
METRICS_PORT = 8080
HEALTH_PORT = 8081

# A constant in its source. Beds of one user share the files: any valid pair does, since nobody calls the webhook.
CERT_DIR = Path("/tmp/k8s-webhook-server/serving-certs")  # noqa: S108


def install_kinds(api: Api) -> None:
    """Create the CustomResourceDefinitions of all its job kinds, as they are shipped."""
    for path in sorted((programs.data("trainer") / "crds").glob("kubeflow.org_*.yaml")):
        api.create_if_absent(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            path.read_bytes(),
            content_type="application/yaml",
        )


def install(plane: ControlPlane) -> list[str | Path]:
    """Create its namespace, account, rights and certificate; return its command line.

    Its ValidatingWebhookConfiguration is left out: the certificate it makes for itself names no IP address, and a name
    in the cluster resolves nowhere on the host.
    """
    api = plane.api
    api.create_if_absent("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    rbac = programs.data("trainer") / "rbac"
    role = yaml.safe_load((rbac / "role.yaml").read_text(encoding="utf-8"))
    binding = yaml.safe_load((rbac / "cluster-role-binding.yaml").read_text(encoding="utf-8"))
    account = yaml.safe_load((rbac / "service-account.yaml").read_text(encoding="utf-8"))
    for subject in binding["subjects"]:
        subject["namespace"] = NAMESPACE
    api.create_if_absent("/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
    api.create_if_absent("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    api.create_if_absent(accounts, account)
    name = account["metadata"]["name"]
    request = {"spec": {"expirationSeconds": 30 * 24 * 3600}}
    token = api.create(f"{accounts}/{name}/token", request)["status"]["token"]
    token_file = plane.state_dir / "pki" / "training-operator.token"
    token_file.touch(mode=0o600)
    token_file.write_text(token, encoding="utf-8")
    config = kubeconfig.write(
        plane.state_dir / "pki" / "training-operator.kubeconfig",
        server=plane.server,
        ca=api.ca,
        token_file=token_file,
        namespace=NAMESPACE,
    )
    api.create_if_absent(f"/api/v1/namespaces/{NAMESPACE}/secrets", _webhook_secret())
    ip = plane.block.control_plane_ip
    return [
        programs.program("training-operator.v1"),
        f"--kubeconfig={config}",
        f"--metrics-bind-address={ip}:{METRICS_PORT}",
        f"--health-probe-bind-address={ip}:{HEALTH_PORT}",
        f"--webhook-server-port={_free_port()}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def remove_shared_files() -> None:
    """Remove the shared certificate files, when the last bed of this user is gone."""
    shutil.rmtree(CERT_DIR, ignore_errors=True)
    with contextlib.suppress(OSError):
        CERT_DIR.parent.rmdir()


def _webhook_secret() -> dict[str, object]:
    authority = Authority("training-operator-ca")
    server = authority.server("training-operator", [f"training-operator.{NAMESPACE}.svc"])
    files = {"ca.crt": authority.pair.cert, "tls.crt": server.cert, "tls.key": server.key}
    _share(files)
    content = files | {"ca.key": authority.pair.key}
    return {
        "metadata": {"name": "training-operator-webhook-cert"},
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in content.items()},
    }


def _share(files: dict[str, str]) -> None:
    """Put the files where the operator looks, all at once; those of a bed that came first stay."""
    CERT_DIR.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=CERT_DIR.parent))
    for name, text in files.items():
        (fresh / name).write_text(text, encoding="utf-8")
    try:
        fresh.rename(CERT_DIR)
    except OSError:
        shutil.rmtree(fresh)


def _free_port() -> int:
    """A free port for the webhook server, the one thing here that cannot be told to listen on loopback only."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])
