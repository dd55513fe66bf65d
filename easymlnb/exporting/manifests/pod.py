"""The container of an image: ports, probes, secrets, limits, rights."""

from typing import Any

from easymlnb.exporting.models import CREDENTIALS, HOME, PORT, TOKEN_KEY, USER, Workload

GPU = "nvidia.com/gpu"
PRE_STOP = 5
"""Seconds before a replica is stopped, in which the cluster stops sending it requests."""

Values = dict[str, Any]


def container(workload: Workload, name: str, *, lifecycle: bool) -> Values:
    """Return the container; ``lifecycle``: whether the cluster accepts a hook before its end."""
    found: Values = {
        "name": name,
        "image": workload.image,
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "env": environment(workload),
        **_probes(workload.base_url),
        "resources": _resources(workload),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": _mounts(workload),
    }
    if lifecycle:
        found["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", str(PRE_STOP)]}}}
    return found


def environment(workload: Workload) -> list[Values]:
    """Return the variables of the container; the token is only named, never contained."""
    found: list[Values] = [{"name": "EASYMLNB_DRAIN", "value": str(workload.drain)}]
    if workload.trust_cluster:
        found.append({"name": "EASYMLNB_TRUST_CLUSTER", "value": "1"})
    else:
        key = {"name": workload.secret, "key": TOKEN_KEY}
        found.append({"name": "EASYMLNB_TOKEN", "valueFrom": {"secretKeyRef": key}})
    if workload.credentials:
        found.append({"name": "EASYMLNB_CREDENTIALS", "value": CREDENTIALS})
    if workload.base_url != "/":
        found.append({"name": "EASYMLNB_BASE_URL", "value": workload.base_url})
    return found


def volumes(workload: Workload) -> list[Values]:
    """Return the volumes of the pod: two folders that can be written, and the credentials."""
    found: list[Values] = [{"name": "tmp", "emptyDir": {}}, {"name": "home", "emptyDir": {}}]
    if workload.credentials:
        secret = {"secretName": workload.credentials, "defaultMode": 0o444}
        found.append({"name": "credentials", "secret": secret})
    return found


def metadata(workload: Workload, annotations: dict[str, str] | None = None) -> Values:
    """Return the metadata of an object."""
    found: Values = {"name": workload.name}
    if workload.namespace:
        found["namespace"] = workload.namespace
    found["labels"] = dict(workload.labels)
    found["annotations"] = {**workload.annotations, **(annotations or {})}
    return found


def _mounts(workload: Workload) -> list[Values]:
    found: list[Values] = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "home", "mountPath": HOME},
    ]
    if workload.credentials:
        found.append({"name": "credentials", "mountPath": CREDENTIALS, "readOnly": True})
    return found


def _probes(base_url: str) -> Values:
    """Return the probes; a notebook may need ten minutes until it has loaded its models."""
    ready = {"path": f"{base_url}health/ready", "port": PORT}
    live = {"path": f"{base_url}health/live", "port": PORT}
    return {
        "startupProbe": {"httpGet": ready, "periodSeconds": 5, "failureThreshold": 120},
        "readinessProbe": {"httpGet": ready, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {
            "httpGet": live,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
    }


def _resources(workload: Workload) -> Values:
    gpus = {GPU: str(workload.gpus)} if workload.gpus else {}
    return {
        "requests": {"cpu": workload.cpu, "memory": workload.memory},
        "limits": {"memory": workload.memory, **gpus},
    }
