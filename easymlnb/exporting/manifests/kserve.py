"""The manifest of a KServe InferenceService."""

from easymlnb.exporting.manifests.kubernetes import STOP, TARGET_CPU
from easymlnb.exporting.manifests.pod import PRE_STOP, Values, container, metadata, volumes
from easymlnb.exporting.models import Workload

STANDARD, KNATIVE = "Standard", "Knative"
MODES = (STANDARD, KNATIVE)
MODE = "serving.kserve.io/deploymentMode"
CONTAINER = "kserve-container"
"""The name by which KServe finds the container."""

MAX_NAME = 53
"""Longest name: KServe makes names of other objects from it."""


def inference_service(
    workload: Workload, mode: str = STANDARD, canary: int | None = None
) -> Values:
    """Return the InferenceService; ``canary`` is the percentage of the calls for this revision."""
    knative = mode == KNATIVE
    predictor: Values = {
        "minReplicas": workload.min_replicas,
        "maxReplicas": workload.max_replicas,
        "timeout": workload.timeout,
        "scaleMetric": "concurrency" if knative else "cpu",
        "scaleTarget": workload.concurrency if knative else TARGET_CPU,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container(workload, CONTAINER, lifecycle=not knative)],
        "volumes": volumes(workload),
    }
    if knative:
        predictor["containerConcurrency"] = workload.concurrency
        if canary is not None:
            predictor["canaryTrafficPercent"] = canary
    else:
        predictor["terminationGracePeriodSeconds"] = PRE_STOP + workload.drain + STOP
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata(workload, {MODE: mode}),
        "spec": {"predictor": predictor},
    }
