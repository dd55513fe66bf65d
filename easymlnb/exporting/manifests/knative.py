"""The manifest of a Knative Service, which scales to zero."""

from easymlnb.exporting.manifests.pod import Values, container, metadata, volumes
from easymlnb.exporting.models import Workload

SCALING = "autoscaling.knative.dev/"


def service(workload: Workload, canary: int | None = None, previous: str = "") -> Values:
    """Return the Service.

    Parameters
    ----------
    workload
        What runs.
    canary
        Percentage of the calls for this revision; default: all.
    previous
        The revision that gets the others.
    """
    template = {
        "metadata": {"labels": dict(workload.labels), "annotations": scaling(workload)},
        "spec": {
            "containerConcurrency": workload.concurrency,
            "timeoutSeconds": workload.timeout,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [container(workload, workload.name, lifecycle=False)],
            "volumes": volumes(workload),
        },
    }
    spec: Values = {"template": template}
    if canary is not None:
        spec["traffic"] = [
            {"latestRevision": True, "percent": canary, "tag": "canary"},
            {"revisionName": previous, "percent": 100 - canary},
        ]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": metadata(workload),
        "spec": spec,
    }


def scaling(workload: Workload) -> dict[str, str]:
    """Return the annotations about the number of replicas."""
    return {
        f"{SCALING}min-scale": str(workload.min_replicas),
        f"{SCALING}max-scale": str(workload.max_replicas),
    }
