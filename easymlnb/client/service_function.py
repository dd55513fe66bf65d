"""A service as a Python function, for both clients."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from easymlnb.client.batches import BatchOptions
from easymlnb.client.operations import CallOptions
from easymlnb.client.signatures import docstring, signature
from easymlnb.client.sse import OnProgress
from easymlnb.contract.errors import ServiceNotFound
from easymlnb.contract.options import check_whole
from easymlnb.contract.spec import NAME, ServiceSpec

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments of a call."""


@dataclass(frozen=True, slots=True)
class SweepArguments:
    """What a sweep runs: a grid or points, and values of all runs."""

    grid: Mapping[str, Iterable[Any]] | None
    points: Iterable[Mapping[str, Any]] | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How ``map`` runs."""

    max_concurrency: int
    progress: OnProgress | None

    def report(self, done: int, items: Iterable[Any]) -> None:
        """Report that ``done`` results have been returned."""
        if self.progress is None:
            return
        total = len(items) if isinstance(items, Sized) else 0
        text = f"{done} of {total}" if total else str(done)
        self.progress(done / total if total else -1.0, text)


class RemoteService(Protocol):
    """A service to call like a function; ``help()`` shows its parameters."""

    __name__: str

    def __call__(self, *given: Any, **values: Any) -> Any: ...

    def raw(self, *given: Any, **values: Any) -> Any:
        """Call the service and return the response as it arrived, a ``RawResponse``.

        With ``progress`` it is always JSON. The async client returns an awaitable.
        """

    def submit(self, *given: Any, **values: Any) -> Any:
        """Call the service as a job, and return a ``Job`` at once.

        The async client returns an awaitable of an ``AsyncJob``.
        """

    def batch(
        self,
        table: Any,
        *,
        values: Mapping[str, Any] | None = None,
        extra_columns: str = "refuse",
    ) -> Any:
        """Run the service on each row of a table, as a ``Job`` whose ``result()`` is a table.

        Parameters
        ----------
        table : path, DataFrame, list of dicts or list of paths
            A CSV or parquet table with a column for each parameter, or a ZIP or list of files.
        values : mapping, optional
            Parameters that are the same for all rows.
        extra_columns : {"refuse", "keep"}, default "refuse"
            ``"keep"`` copies columns that are no parameters to the result.

        The async client returns an awaitable of an ``AsyncJob``.
        """

    def sweep(
        self,
        grid: Mapping[str, Iterable[Any]] | None = None,
        *,
        points: Iterable[Mapping[str, Any]] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the service with many parameters, as a ``Job`` whose ``result()`` is a table.

        Parameters
        ----------
        grid : mapping, optional
            A list of values for each parameter; all combinations run.
        points : iterable of mappings, optional
            The parameters of each run, in place of a grid.
        values : mapping, optional
            Parameters that are the same for all runs.

        The async client returns an awaitable of an ``AsyncJob``.
        """

    def map(
        self, items: Iterable[Any], *, max_concurrency: int = 8, progress: OnProgress | None = None
    ) -> Any:
        """Call the service for each item and yield the results in order, as they come.

        Parameters
        ----------
        items : iterable
            Mappings of parameters, or values of the first parameter.
        max_concurrency : int, default 8
            Calls that run at the same time.
        progress : callable, optional
            Called with the fraction that is done and a text; the fraction is -1 if ``items`` has
            no length.

        The first error ends it. The async client returns an async iterator.
        """

    def options(
        self,
        *,
        timeout: float | str | None = None,
        progress: OnProgress | None = None,
        accept: str = "",
        live: bool = False,
        priority: str = "",
        idempotency_key: str = "",
        lane: str = "",
        attempts: int = 1,
        version: int | str = "",
        webhook: str = "",
        webhook_events: Sequence[str] = (),
        webhook_secret: str = "",
    ) -> "RemoteService":
        """Return the service with options for its calls, see ``CallOptions``."""


class NoSuchService(ServiceNotFound, AttributeError):
    """The client has no such attribute, and the server no such service."""


class ServiceClient(Protocol):
    """What a client does for its services."""

    def _call(self, name: str, arguments: Arguments, options: CallOptions) -> Any: ...

    def _raw(self, name: str, arguments: Arguments, options: CallOptions) -> Any: ...

    def _submit(self, name: str, arguments: Arguments, options: CallOptions) -> Any: ...

    def _batch(self, name: str, table: Any, options: BatchOptions) -> Any: ...

    def _sweep(self, name: str, what: SweepArguments, options: CallOptions) -> Any: ...

    def _map(
        self, name: str, items: Iterable[Any], how: MapOptions, options: CallOptions
    ) -> Any: ...


def as_function(
    client: ServiceClient, name: str, spec: ServiceSpec | None, how: CallOptions
) -> RemoteService:
    """Return a real function, because ``help()`` shows the class of anything else."""

    def service(*given: Any, **values: Any) -> Any:
        return client._call(name, (given, values), how)

    made: Any = service
    made.raw = lambda *given, **values: client._raw(name, (given, values), how)
    made.submit = lambda *given, **values: client._submit(name, (given, values), how)
    made.batch = partial(_batch, client, name)
    made.sweep = partial(_sweep, client, name, how)
    made.map = partial(_map, client, name, how)
    made.options = lambda **changes: as_function(client, name, spec, CallOptions(**changes))
    made.__name__ = made.__qualname__ = name
    made.__module__ = "easymlnb.client"
    made.__doc__ = "A service. Its description is available after the first call."
    if spec is not None:
        made.__doc__ = docstring(spec)
        made.__signature__ = signature(spec)
    return cast(RemoteService, made)


def batch_options(
    values: Mapping[str, Any] | None = None, extra_columns: str = "refuse"
) -> BatchOptions:
    """Return the options of a batch; raises ``ValueError``."""
    if extra_columns not in ("refuse", "keep"):
        raise ValueError(f"extra_columns must be 'refuse' or 'keep', not {extra_columns!r}.")
    return BatchOptions(values or {}, extra_columns == "keep")


def _batch(client: ServiceClient, name: str, table: Any, **options: Any) -> Any:
    return client._batch(name, table, batch_options(**options))


def _sweep(
    client: ServiceClient,
    name: str,
    how: CallOptions,
    grid: Mapping[str, Iterable[Any]] | None = None,
    *,
    points: Iterable[Mapping[str, Any]] | None = None,
    values: Mapping[str, Any] | None = None,
) -> Any:
    return client._sweep(name, SweepArguments(grid, points, values or {}), how)


def _map(
    client: ServiceClient,
    name: str,
    how: CallOptions,
    items: Iterable[Any],
    *,
    max_concurrency: int = 8,
    progress: OnProgress | None = None,
) -> Any:
    check_whole("max_concurrency", max_concurrency, 1)
    return client._map(name, items, MapOptions(max_concurrency, progress), how)


def split_item(item: Any) -> Arguments:
    """Return the arguments of an item of ``map``: a mapping of parameters, or the first value."""
    return ((), dict(item)) if isinstance(item, Mapping) else ((item,), {})


def may_be_service(name: str) -> bool:
    """Return whether an attribute can be a service; notebooks and editors try many others."""
    return bool(NAME.match(name))
