"""The part of KServe's schema that our manifests use; no package carries the whole one."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """An object without further fields."""

    model_config = ConfigDict(extra="forbid")


class Metadata(Strict):
    name: str = Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=53)
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Container(Strict):
    name: Literal["kserve-container"]
    image: str
    ports: list[dict[str, Any]]
    env: list[dict[str, Any]]
    startupProbe: dict[str, Any]
    readinessProbe: dict[str, Any]
    livenessProbe: dict[str, Any]
    resources: dict[str, dict[str, str]]
    securityContext: dict[str, Any]
    volumeMounts: list[dict[str, Any]]
    lifecycle: dict[str, Any] | None = None


class Predictor(Strict):
    """Scaling and traffic, next to the fields of a pod."""

    minReplicas: int = Field(ge=0)
    maxReplicas: int = Field(ge=1)
    timeout: int
    scaleMetric: Literal["concurrency", "rps", "cpu", "memory"]
    scaleTarget: int
    containerConcurrency: int | None = None
    canaryTrafficPercent: int | None = Field(default=None, ge=0, le=100)
    automountServiceAccountToken: bool
    enableServiceLinks: bool
    terminationGracePeriodSeconds: int | None = None
    containers: list[Container] = Field(min_length=1)
    volumes: list[dict[str, Any]]


class Spec(Strict):
    predictor: Predictor


class InferenceService(Strict):
    apiVersion: Literal["serving.kserve.io/v1beta1"]
    kind: Literal["InferenceService"]
    metadata: Metadata
    spec: Spec
