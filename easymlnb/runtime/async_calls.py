"""Run calls of ``async def`` functions: many at once, on event loops in threads."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from inspect import isasyncgen, isawaitable
from typing import Any

from easymlnb.contract.errors import ResultNotEncodable
from easymlnb.contract.worker_protocol import Call, Item
from easymlnb.runtime import body_files, event_loop, settings
from easymlnb.runtime.call_execution import (
    CallAttempt,
    Raised,
    Stopped,
    item_of,
    view_of,
    viewed,
    write,
)
from easymlnb.runtime.context import Context, Emit, running
from easymlnb.runtime.figures import own_figures
from easymlnb.runtime.stream_window import StreamWindow
from easymlnb.runtime.tqdm_progress import report_bars
from easymlnb.services.definition import Service
from easymlnb.types.temp_files import scratch


class AsyncCallRunner:
    """The calls that run as tasks. ``idle`` is told, in the loop's thread, when the last ended."""

    def __init__(self, idle: Callable[[], None] = lambda: None) -> None:
        # Started, not yet answered: call -> the loop that it runs on.
        self._known: dict[int, asyncio.AbstractEventLoop] = {}
        self._tasks: dict[int, asyncio.Task[Any]] = {}  # those that can be cancelled
        self._unwanted: set[int] = set()
        self._idle = idle

    def __len__(self) -> int:
        """Return how many calls were started and have not ended."""
        return len(self._known)

    def start(
        self,
        service: Service,
        call: Call,
        body: bytes,
        emit: Emit,
        flow: StreamWindow | None = None,
    ) -> None:
        """Run a call soon; ``emit`` is called from the loop's thread."""
        where = self._known[call.id] = event_loop.home(service.function)
        where.call_soon_threadsafe(
            self._begin, service, call, body, emit, flow, context=settings.context()
        )

    def cancel(self, call: int) -> None:
        """Stop a call that was started; it is answered all the same. Others are ignored."""
        where = self._known.get(call)
        if where is not None:
            where.call_soon_threadsafe(self._stop, call)

    def stop(self) -> None:
        """Stop all calls that were started."""
        for call in tuple(self._known):
            self.cancel(call)

    def _begin(
        self, service: Service, call: Call, body: bytes, emit: Emit, flow: StreamWindow | None
    ) -> None:
        # Its first step is due at once, and the loop holds it until then; `_tasks` does after.
        asyncio.get_running_loop().create_task(self._answer(service, call, body, emit, flow))

    def _stop(self, call: int) -> None:
        if call not in self._known or call in self._unwanted:
            return
        self._unwanted.add(call)
        task = self._tasks.get(call)
        if task is not None:  # else it has not begun, and looks itself
            task.cancel()

    async def _answer(
        self, service: Service, call: Call, body: bytes, emit: Emit, flow: StreamWindow | None
    ) -> None:
        settings.enter()
        attempt = CallAttempt(call)
        context = Context(call, emit)
        with running(context), own_figures(context), scratch(), attempt:
            if call.id in self._unwanted:
                raise Stopped
            report_bars()
            values = body_files.read(service, call, body)
            value, seen = await self._open(service, values, call, emit, flow)
            attempt.written = write(service, call, value, seen)
        self._known.pop(call.id, None)
        self._unwanted.discard(call.id)
        emit(*attempt.end(context.log.text()))
        if not self._known:
            self._idle()

    async def _open(
        self,
        service: Service,
        values: dict[str, Any],
        call: Call,
        emit: Emit,
        flow: StreamWindow | None,
    ) -> tuple[Any, Any]:
        """Run the author's code, which alone can be cancelled: an interrupt breaks none of ours."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks[call.id] = task
        try:
            value = await self._run(service, values, call, emit, flow)
            return value, await self._seen(service, call, values, value)
        finally:
            del self._tasks[call.id]
            if flow is not None:
                flow.forget(call.id)

    async def _run(
        self,
        service: Service,
        values: dict[str, Any],
        call: Call,
        emit: Emit,
        flow: StreamWindow | None,
    ) -> Any:
        """Call the function; an async generator's items are emitted as they come."""
        try:
            made = service.function(**values)
            if not isasyncgen(made):
                return await made if isawaitable(made) else made
            async with aclosing(made) as items:
                async for item in items:
                    data = item_of(service, call, item)
                    if flow is not None:
                        await flow.room(call.id, len(data))
                    emit(Item(id=call.id), data)
            return None
        except (Stopped, ResultNotEncodable):
            raise
        except BaseException as error:
            raise self._raised(call, error) from error

    async def _seen(self, service: Service, call: Call, values: dict[str, Any], value: Any) -> Any:
        if not viewed(service, call):
            return None
        if service.view_function is None:
            return value
        # A view is mostly plain code that draws: in a thread it keeps no other call waiting.
        try:
            return await asyncio.to_thread(settings.entered, view_of, service, values, value)
        except asyncio.CancelledError as error:
            raise self._raised(call, error) from error

    def _raised(self, call: Call, error: BaseException) -> BaseException:
        stopped = isinstance(error, asyncio.CancelledError) and call.id in self._unwanted
        return Stopped() if stopped else Raised(error)
