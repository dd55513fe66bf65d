"""Call a service by name from another service, or from a cell.

A service of the same notebook is called directly, in the same thread. Calls of other services go
over the kernel's link to its server, which needs no credentials, and through the queues, batches
and deadlines of all calls. Plain Python without a link uses HTTP, like the client.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from inspect import iscoroutinefunction
from typing import Any

from easymlnb.calling.link_call import Arguments, LinkCall, link_transport
from easymlnb.client import Client, connect, hub
from easymlnb.client.operations import bind_arguments
from easymlnb.contract.errors import CallCycle
from easymlnb.contract.options import check_whole, named_options
from easymlnb.runtime import environment, event_loop
from easymlnb.runtime.batch_execution import run_rows
from easymlnb.runtime.context import CURRENT_CALL
from easymlnb.services.definition import SERVICES, Service

MAX_CONCURRENCY = 32
"""Default number of calls that ``map`` makes at the same time."""

_direct_calls: ContextVar[tuple[str, ...]] = ContextVar("easymlnb_direct_calls", default=())
"""The services of this notebook that are being called directly, outermost first."""


class ServiceProxy:
    """A service to call by name; the first call looks it up."""

    def __init__(self, name: str, timeout: float | None = None) -> None:
        self.name = name
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<service {self.name!r}>"

    def __call__(self, *args: Any, **values: Any) -> Any:
        """Call the service and return its result; of a stream, the list of its items.

        Raises
        ------
        InvalidInput
            The service does not accept the values.
        CallFailed
            The service failed.
        CallCycle
            The service would wait for itself.
        """
        if (results := self._call_here([(args, values)])) is not None:
            return results[0]
        if (link_call := self._link_call()) is not None:
            return link_call.call((args, values))
        return self._call_over_http((args, values))

    async def aio(self, *args: Any, **values: Any) -> Any:
        """Call the service from a coroutine; other calls run while this one waits."""
        service = SERVICES.get(self.name)
        if service is not None and iscoroutinefunction(service.function):
            with _guard_cycle(self.name):
                named = bind_arguments(service.spec, args, values)
                return await service.function(**service.schema.load(named))
        if service is None and (link_call := self._link_call()) is not None:
            return await link_call.call_async((args, values))
        return await asyncio.to_thread(self, *args, **values)

    def map(self, items: Iterable[Any], *, max_concurrency: int = MAX_CONCURRENCY) -> list[Any]:
        """Call the service for each item and return the results in order.

        Parameters
        ----------
        items : iterable
            Mappings of parameters, or values of the first parameter.
        max_concurrency : int, default 32
            Calls that run at the same time.

        Raises
        ------
        EasyMLNBError
            The first error ends all calls.
        """
        check_whole("max_concurrency", max_concurrency, 1)
        calls = map(split_arguments, items)
        if (results := self._call_here(calls)) is not None:
            return results
        if (link_call := self._link_call()) is not None:
            return link_call.map(calls, max_concurrency)
        with ThreadPoolExecutor(max_concurrency, "easymlnb-map") as pool:
            return list(pool.map(self._call_over_http, calls))

    def _call_here(self, calls: Iterable[Arguments]) -> list[Any] | None:
        """Return the results of direct calls, or ``None`` if the service is not in this process."""
        if event_loop.in_call_loop():
            raise RuntimeError(
                f"A blocking call of {self.name!r} in an async function would block all other "
                f"calls. Write 'await {self.name}.aio(...)'."
            )
        service = SERVICES.get(self.name)
        if service is None:
            return None
        with _guard_cycle(self.name):
            return _run_all(service, [bind_arguments(service.spec, *call) for call in calls])

    def _link_call(self) -> LinkCall | None:
        # The server of a notebook does not know services of other users; that of a worker does.
        if "/" in self.name and not environment.in_worker():
            return None
        transport = link_transport()
        return None if transport is None else LinkCall(transport, self.name, self._timeout)

    def _call_over_http(self, call: Arguments) -> Any:
        service = _client("/" in self.name)[self.name].options(timeout=self._timeout)
        result = service(*call[0], **call[1])
        return list(result) if isinstance(result, Iterator) else result


@named_options
def use(name: str, *, timeout: float | None = None) -> ServiceProxy:
    """Return a service by name, to call it like a function.

    The first call looks it up.

    Parameters
    ----------
    name : str
        ``"segment"``, or ``"alice/segment"`` for a service that another user of the Hub shares.
    timeout : float, optional
        Longest time of a call in seconds. A call also ends with the call that makes it.

    Returns
    -------
    ServiceProxy
        ``f(...)`` waits for the result, ``await f.aio(...)`` is for coroutines, and
        ``f.map(items, max_concurrency=32)`` makes many calls and returns their results in order.

    Raises
    ------
    CallCycle
        On a call: the service would wait for itself.
    InvalidInput, CallFailed
        On a call: the values are invalid, or the service failed; and the other errors of a call.
    """
    return ServiceProxy(name, timeout)


def split_arguments(item: Any) -> Arguments:
    """Return an item of ``map`` as positional and named arguments."""
    return ((), dict(item)) if isinstance(item, Mapping) else ((item,), {})


@contextmanager
def _guard_cycle(name: str) -> Iterator[None]:
    """Register a direct call; raises ``CallCycle`` if the service waits for this call."""
    context = CURRENT_CALL.get()
    outer = _direct_calls.get()
    chain = outer if context is None else (context.call.service, *outer)
    if name in chain:
        raise CallCycle([*chain, name])
    token = _direct_calls.set((*outer, name))
    try:
        yield
    finally:
        _direct_calls.reset(token)


def _run_all(service: Service, rows: list[dict[str, Any]]) -> list[Any]:
    """Run a service of this process for each row of values."""
    checked = [service.schema.load(row) for row in rows]
    batch = service.spec.batch
    if batch is None:
        return [_run(service.function, row, service.spec.stream) for row in checked]
    size = batch.max_size
    parts = [checked[at : at + size] for at in range(0, len(checked), size)]
    return [result for part in parts for result in run_rows(service, part)]


def _run(function: Callable[..., Any], values: dict[str, Any], stream: bool) -> Any:
    result = function(**values)
    return list(event_loop.iterate(result)) if stream else event_loop.await_result(result)


@cache
def _client(shared: bool) -> Client:
    server = hub.find_shared_service() if shared else None
    return Client(server) if server is not None else connect()
