"""What metrics count, as Triton's statistics of models."""

import msgspec

from easymlnb_server.observability.metrics import CallMetrics


class Duration(msgspec.Struct, frozen=True, kw_only=True):
    """How many times something happened, and how many nanoseconds it took in total."""

    count: int = 0
    ns: int = 0

    @classmethod
    def of(cls, count: int, seconds: float) -> "Duration":
        return cls(count=count, ns=max(round(seconds * 1e9), 0))


class InferStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The durations of the calls of a version.

    A worker's time includes the decoding of inputs and the encoding of outputs; these, and a cache
    of responses, are not counted apart.
    """

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration = Duration()
    compute_infer: Duration
    compute_output: Duration = Duration()
    cache_hit: Duration = Duration()
    cache_miss: Duration = Duration()


class ModelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of a version since the server started.

    ``last_inference`` is when the last one ended, in milliseconds; ``batch_stats`` is empty.
    """

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferStatistics
    batch_stats: tuple[dict[str, int], ...] = ()

    @classmethod
    def of(cls, name: str, version: str, calls: CallMetrics) -> "ModelStatistics":
        ended = calls.ended.total()
        successes = sum(count for (_, code), count in calls.ended.items() if code == "ok")
        failures = ended - successes + calls.refused.total()
        runs = sum(calls.worker.counts)
        whole, worker = calls.whole.total, calls.worker.total
        return cls(
            name=name,
            version=version,
            last_inference=round(calls.last * 1000),
            inference_count=successes,
            execution_count=sum(calls.sizes.counts) or runs,
            inference_stats=InferStatistics(
                success=Duration.of(successes, whole - calls.failed),
                fail=Duration.of(failures, calls.failed),
                queue=Duration.of(ended, whole - worker),
                compute_infer=Duration.of(runs, worker),
            ),
        )


class AllStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of versions, of one model or of all."""

    model_stats: tuple[ModelStatistics, ...]
