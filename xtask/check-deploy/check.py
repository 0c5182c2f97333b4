"""Checks rendered manifests against Kubernetes' own schemas, and against the service.

Usage: check.py ROOT RENDERED.yaml...
"""

import re
import sys
from pathlib import Path

import kubernetes_validate
import yaml

# Oldest and newest releases that the manifests are meant for.
RELEASES = ["1.29", "1.37"]

# Kinds of other projects; their schemas are not part of Kubernetes.
FOREIGN = {"PrometheusRule", "ScaledObject", "ServiceMonitor"}

GRACE_MARGIN_SECONDS = 5


def fail(message):
    sys.exit(f"check-deploy: {message}")


def known_routes(root):
    text = (root / "crates/sessile-server/src/http/routes.rs").read_text()
    return set(re.findall(r'"(/[a-z0-9/.]*)"', text))


def known_metrics(root):
    text = (root / "crates/sessile-server/src/telemetry/names.rs").read_text()
    return set(re.findall(r'"(sessile_[a-z_]+)"', text))


def check_references(name, documents):
    """What names another document names one that is there."""
    names = {(d["kind"], d["metadata"]["name"]) for d in documents}
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            wanted = [(target["kind"], target["name"])]
        elif document["kind"] == "ScaledObject":
            wanted = [("Deployment", spec["scaleTargetRef"]["name"])]
        elif document["kind"] == "Ingress":
            paths = [path for rule in spec["rules"] for path in rule["http"]["paths"]]
            wanted = [("Service", path["backend"]["service"]["name"]) for path in paths]
        elif document["kind"] in ("Deployment", "Pod"):
            pod = spec["template"]["spec"] if document["kind"] == "Deployment" else spec
            containers = pod["containers"] + pod.get("initContainers", [])
            sources = [source for one in containers for source in one.get("envFrom", [])]
            wanted = [("ConfigMap", source["configMapRef"]["name"]) for source in sources]
        else:
            continue
        for one in wanted:
            if one not in names:
                fail(f"{name}: {document['kind']} names {one}, which is not there")


def check_deployment(document, settings, routes):
    pod = document["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        if path not in routes:
            fail(f"{probe}: the service has no {path}")
    (port,) = container["ports"]
    if str(port["containerPort"]) != settings["PORT"]:
        fail(f"port {port['containerPort']} is not that of the settings, {settings['PORT']}")
    # A pod is reached from outside; without a host or a key the service listens inside alone.
    if settings.get("HOST") != "0.0.0.0":
        fail("the settings must say HOST=0.0.0.0")
    # A service called sessile would set SESSILE_PORT and others in every pod.
    if pod.get("enableServiceLinks") is not False:
        fail("enableServiceLinks must be false")
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = pause + float(settings["SESSILE_GRACE"]) + GRACE_MARGIN_SECONDS
    if pod["terminationGracePeriodSeconds"] < needed:
        fail(f"terminationGracePeriodSeconds must be at least {needed:.0f}")
    for one in pod["containers"] + pod["initContainers"]:
        if not one["securityContext"]["readOnlyRootFilesystem"]:
            fail("the root file system must be read-only")


def main():
    root = Path(sys.argv[1])
    routes, metrics = known_routes(root), known_metrics(root)
    for name in sys.argv[2:]:
        documents = list(yaml.safe_load_all(Path(name).read_text()))
        kinds = [document["kind"] for document in documents]
        if "Deployment" not in kinds or "Service" not in kinds:
            fail(f"{name} has no deployment or service: {kinds}")
        (settings,) = (d["data"] for d in documents if d["kind"] == "ConfigMap")
        (namespace,) = (d["metadata"]["name"] for d in documents if d["kind"] == "Namespace")
        check_references(name, documents)
        checked = 0
        for document in documents:
            label = f"{name}: {document['kind']}/{document['metadata']['name']}"
            if document["kind"] != "Namespace" and document["metadata"]["namespace"] != namespace:
                fail(f"{label} is not in the namespace")
            for metric in re.findall(r"\bsessile_[a-z_]+", yaml.safe_dump(document)):
                if metric not in metrics:
                    fail(f"{label}: the service has no metric {metric}")
            if document["kind"] == "Deployment":
                check_deployment(document, settings, routes)
            if document["kind"] in FOREIGN:
                continue
            for release in RELEASES:
                try:
                    kubernetes_validate.validate(document, release, strict=True)
                except kubernetes_validate.ValidationError as error:
                    fail(f"{label}, Kubernetes {release}: {error.path}: {error.message}")
            checked += 1
        print(f"{Path(name).name}: {checked} of {len(documents)} documents fit the schemas")


main()
