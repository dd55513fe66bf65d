"""Manifests for a plain Kubernetes cluster."""

from easymlnb.exporting.manifests.pod import PRE_STOP, Values, container, metadata, volumes
from easymlnb.exporting.models import PORT, Workload

STOP = 10
"""Seconds that a server needs to end after its calls have."""

TARGET_CPU = 70
"""Percent of the requested CPU above which replicas are added."""


def objects(workload: Workload) -> list[Values]:
    """Return a Deployment and a Service; with several replicas an autoscaler.

    Where the cluster decides who may call, a network policy admits the namespace only.
    """
    found = [deployment(workload), service(workload)]
    if workload.max_replicas > workload.min_replicas:
        found.append(autoscaler(workload))
    if workload.trust_cluster:
        found.append(network_policy(workload))
    return found


def deployment(workload: Workload) -> Values:
    """Return the Deployment."""
    pod: Values = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": PRE_STOP + workload.drain + STOP,
        "containers": [container(workload, workload.name, lifecycle=True)],
        "volumes": volumes(workload),
    }
    spec: Values = {
        "replicas": workload.min_replicas,
        "selector": {"matchLabels": _selector(workload)},
        # A replica is replaced only when its successor is ready.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
        "template": {
            "metadata": {
                "labels": dict(workload.labels),
                "annotations": dict(workload.annotations),
            },
            "spec": pod,
        },
    }
    if workload.max_replicas > workload.min_replicas:
        del spec["replicas"]  # applying the manifest again must not undo the autoscaler
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(workload),
        "spec": spec,
    }


def service(workload: Workload) -> Values:
    """Return the Service, on port 80."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload),
        "spec": {
            "selector": _selector(workload),
            "ports": [{"name": "http", "port": 80, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def autoscaler(workload: Workload) -> Values:
    """Return the HorizontalPodAutoscaler."""
    target = {"type": "Utilization", "averageUtilization": TARGET_CPU}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(workload),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": workload.name,
            },
            "minReplicas": workload.min_replicas,
            "maxReplicas": workload.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def network_policy(workload: Workload) -> Values:
    """Return the NetworkPolicy that admits pods of the namespace."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(workload),
        "spec": {
            "podSelector": {"matchLabels": _selector(workload)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {}}],
                    "ports": [{"port": PORT, "protocol": "TCP"}],
                }
            ],
        },
    }


def _selector(workload: Workload) -> dict[str, str]:
    return {"app.kubernetes.io/name": workload.name}
