"""Builds what runs calls, and what counts and records them."""

import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from jupyter_server.serverapp import ServerApp

from easymlnb_server.calls.in_flight import InFlight
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.calls.log import CallLog
from easymlnb_server.calls.record import CallRecorder
from easymlnb_server.comparisons.shadow import ShadowComparisons
from easymlnb_server.identity.quotas.quotas import Quotas
from easymlnb_server.identity.usage.meter import UsageMeter
from easymlnb_server.observability.activity import Activity
from easymlnb_server.observability.metrics import Metrics
from easymlnb_server.recordings.keeper import Keeper
from easymlnb_server.settings import Settings
from easymlnb_server.wiring.serving import ServingParts

if TYPE_CHECKING:
    from easymlnb_server.calls.tracing import Tracing


@dataclass(frozen=True, slots=True)
class CallParts:
    """The invoker and everything that it reports to."""

    activity: Activity
    in_flight: InFlight
    log: CallLog
    metrics: Metrics
    usage: UsageMeter
    quotas: Quotas
    keeper: Keeper
    recorder: CallRecorder
    invoker: Invoker
    shadow_comparisons: ShadowComparisons


def call_parts(settings: Settings, server: ServerApp, serving: ServingParts) -> CallParts:
    """Return what runs calls of these services."""
    times: dict[str, datetime] = server.web_app.settings.setdefault("last_activity_times", {})
    activity = Activity(server.kernel_manager, times, serving.live)
    in_flight, log = InFlight(), CallLog()
    metrics = Metrics(serving.live, serving.published, in_flight.by_version)
    usage = UsageMeter(settings.usage_days)
    quotas = Quotas(settings.limit_defaults, usage)
    keeper = Keeper()
    recorder = CallRecorder(log, metrics, usage, _tracing(), keeper=keeper, shared=settings.shared)
    invoker = Invoker(serving.services, recorder, activity, in_flight, quotas)
    shadow_comparisons = ShadowComparisons()
    invoker.shadows.sinks.register(shadow_comparisons)
    return CallParts(
        activity,
        in_flight,
        log,
        metrics,
        usage,
        quotas,
        keeper,
        recorder,
        invoker,
        shadow_comparisons,
    )


def _tracing() -> "Tracing | None":
    # A process that has configured OpenTelemetry has imported it; no other should pay for that.
    if "opentelemetry.trace" not in sys.modules:
        return None
    from easymlnb_server.calls import tracing

    return tracing.configured()
