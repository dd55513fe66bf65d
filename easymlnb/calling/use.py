"""Calling a service by its name from inside another, or from a cell.

A service of the same notebook is called directly, in the same thread. Any other goes over the
link that the kernel has with its server, which needs no credential, and through the same queues,
batches and deadlines as every call. In plain Python it goes over HTTP, as the client's calls do.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from inspect import iscoroutinefunction
from typing import Any

from easymlnb.calling.link_call import LinkCall, link_transport
from easymlnb.client import Client, connect, hub, operations
from easymlnb.contract.errors import CallCycle
from easymlnb.contract.options import named_options
from easymlnb.runtime import event_loop
from easymlnb.runtime.batch_execution import run_rows
from easymlnb.runtime.context import CURRENT_CALL
from easymlnb.runtime.link_requests import LinkTransport
from easymlnb.runtime.live import session
from easymlnb.services.definition import SERVICES, Service

MAX_CONCURRENCY = 32
"""Calls of one ``map`` that are out at the same time."""

_inside: ContextVar[tuple[str, ...]] = ContextVar("easymlnb_inside", default=())
"""Services of this notebook that were called directly, one in another."""


class ServiceProxy:
    """A service that is called by name. The first call looks it up."""

    def __init__(self, name: str, timeout: float | None = None) -> None:
        self.name = name
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<service {self.name!r}>"

    def __call__(self, *given: Any, **values: Any) -> Any:
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
        _not_in_a_coroutine(self.name)
        service = SERVICES.get(self.name)
        if service is not None:
            with _guard_cycle(self.name):
                return _call_here(
                    service, [operations.bind_arguments(service.spec, given, values)]
                )[0]
        transport = _link_transport(self.name)
        if transport is None:
            return _call_over_http(self.name, self._timeout, given, values)
        return LinkCall(transport, self.name, self._timeout).call(given, values)

    async def aio(self, *given: Any, **values: Any) -> Any:
        """Call the service from a coroutine; other calls run while this one waits."""
        service = SERVICES.get(self.name)
        if service is not None and iscoroutinefunction(service.function):
            with _guard_cycle(self.name):
                named = operations.bind_arguments(service.spec, given, values)
                return await service.function(**service.schema.load(named))
        transport = _link_transport(self.name) if service is None else None
        if transport is None:
            return await asyncio.to_thread(self, *given, **values)
        return await LinkCall(transport, self.name, self._timeout).call_async(given, values)

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
        _not_in_a_coroutine(self.name)
        service = SERVICES.get(self.name)
        if service is not None:
            with _guard_cycle(self.name):
                return _call_here(service, [_arguments(service, item) for item in items])
        transport = _link_transport(self.name)
        if transport is not None:
            return LinkCall(transport, self.name, self._timeout).map(
                map(split_arguments, items), max_concurrency
            )
        with ThreadPoolExecutor(max_concurrency, "easymlnb-map") as pool:
            return list(
                pool.map(
                    lambda item: _call_over_http(self.name, self._timeout, *split_arguments(item)),
                    items,
                )
            )


@named_options
def use(name: str, *, timeout: float | None = None) -> ServiceProxy:
    """Return a service by name, to call it like a function.

    Nothing is looked up before the first call.

    Parameters
    ----------
    name : str
        ``"segment"``, or ``"alice/segment"`` for a service that another user of the Hub shares.
    timeout : float, optional
        Seconds that one call may take. It also ends with the call that it is made in.

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


def split_arguments(item: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return an item of ``map`` as positional and named arguments."""
    return ((), dict(item)) if isinstance(item, Mapping) else ((item,), {})


def _arguments(service: Service, item: Any) -> dict[str, Any]:
    given, values = split_arguments(item)
    return operations.bind_arguments(service.spec, given, values)


# in this process


@contextmanager
def _guard_cycle(name: str) -> Iterator[None]:
    """Note that a service is called; raises ``CallCycle`` if it waits for this very call."""
    context = CURRENT_CALL.get()
    inside = _inside.get()
    chain = inside if context is None else (context.call.service, *inside)
    if name in chain:
        raise CallCycle([*chain, name])
    token = _inside.set((*inside, name))
    try:
        yield
    finally:
        _inside.reset(token)


def _call_here(service: Service, rows: list[dict[str, Any]]) -> list[Any]:
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


def _not_in_a_coroutine(name: str) -> None:
    if event_loop.in_call_loop():
        raise RuntimeError(
            f"A blocking call of {name!r} in an async function would block all other calls. "
            f"Write 'await {name}.aio(...)'."
        )


# without a link


def _link_transport(name: str) -> LinkTransport | None:
    """Return the link to ask over; a notebook's own server does not know the services of others."""
    return None if "/" in name and not session.in_worker() else link_transport()


@cache
def _client(shared: bool = False) -> Client:
    server = hub.find_shared_service() if shared else None
    return Client(server) if server is not None else connect()


def _call_over_http(
    name: str, timeout: float | None, given: tuple[Any, ...], values: dict[str, Any]
) -> Any:
    found = _client(shared=True) if "/" in name else _client()
    result = found[name].options(timeout=timeout)(*given, **values)
    return list(result) if isinstance(result, Iterator) else result
