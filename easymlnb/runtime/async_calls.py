"""Run calls of ``async def`` functions: many at a time, on event loops in threads."""

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
    encode_item,
    encode_result,
    has_view,
    view_of,
)
from easymlnb.runtime.context import Context, Emit, NewModels, call_context
from easymlnb.runtime.failures import CallInterrupted, UserCodeError
from easymlnb.runtime.figures import own_figures
from easymlnb.runtime.stream_window import StreamWindow
from easymlnb.runtime.tqdm_progress import report_bars
from easymlnb.services.definition import Service
from easymlnb.types.temp_files import scratch


class AsyncCallRunner:
    """The calls that run as tasks. The loop's thread calls ``on_idle`` when the last one ended."""

    def __init__(self, on_idle: Callable[[], None] = lambda: None) -> None:
        self._loops: dict[int, asyncio.AbstractEventLoop] = {}  # of calls without a response
        self._tasks: dict[int, asyncio.Task[Any]] = {}  # those that can be canceled
        self._cancelled: set[int] = set()
        self._on_idle = on_idle

    def __len__(self) -> int:
        """Return how many calls were started and have not ended."""
        return len(self._loops)

    def start(
        self,
        service: Service,
        call: Call,
        body: bytes,
        emit: Emit,
        window: StreamWindow | None = None,
    ) -> None:
        """Run a call soon; ``emit`` is called from the loop's thread."""
        loop = self._loops[call.id] = event_loop.loop_for(service.function)
        running = _AsyncCall(self, service, call, body, emit, window)
        loop.call_soon_threadsafe(running.begin, context=settings.cells_context())

    def cancel(self, call: int) -> None:
        """Interrupt a call, which still gets a response. Unknown calls are ignored."""
        loop = self._loops.get(call)
        if loop is not None:
            loop.call_soon_threadsafe(self._cancel, call)

    def stop(self) -> None:
        """Interrupt all calls that were started."""
        for call in tuple(self._loops):
            self.cancel(call)

    def _cancel(self, call: int) -> None:
        if call not in self._loops or call in self._cancelled:
            return
        self._cancelled.add(call)
        task = self._tasks.get(call)
        if task is not None:  # else it has not begun, and checks this itself
            task.cancel()

    def _end(self, call: int) -> None:
        self._loops.pop(call, None)
        self._cancelled.discard(call)


class _AsyncCall:
    """One call on its event loop."""

    __slots__ = ("_body", "_call", "_emit", "_runner", "_service", "_window")

    def __init__(
        self,
        runner: AsyncCallRunner,
        service: Service,
        call: Call,
        body: bytes,
        emit: Emit,
        window: StreamWindow | None,
    ) -> None:
        self._runner = runner
        self._service = service
        self._call = call
        self._body = body
        self._emit = emit
        self._window = window

    def begin(self) -> None:
        # Its first step is due at once, and the loop refers to it until then; `_tasks` does after.
        asyncio.get_running_loop().create_task(self._answer())

    async def _answer(self) -> None:
        settings.enter()
        call, runner = self._call, self._runner
        attempt = CallAttempt(call)
        context = Context(call, self._emit)
        with call_context(context), own_figures(context), scratch(), attempt:
            if call.id in runner._cancelled:
                raise CallInterrupted
            report_bars()
            values = body_files.read_arguments(self._service, call, self._body)
            value, seen = await self._interruptible(values)
            attempt.encoded = encode_result(self._service, call, value, seen)
        attempt.models = context.used_models()
        runner._end(call.id)
        self._emit(*attempt.end(context.log.text()))
        if not len(runner):
            runner._on_idle()

    async def _interruptible(self, values: dict[str, Any]) -> tuple[Any, Any]:
        """Run the author's code, the only part that can be canceled."""
        task = asyncio.current_task()
        assert task is not None
        self._runner._tasks[self._call.id] = task
        try:
            value = await self._run(values)
            return value, await self._view(values, value)
        finally:
            del self._runner._tasks[self._call.id]
            if self._window is not None:
                self._window.forget(self._call.id)

    async def _run(self, values: dict[str, Any]) -> Any:
        """Call the function; emit the items of an async generator as they come."""
        try:
            made = self._service.function(**values)
            if not isasyncgen(made):
                return await made if isawaitable(made) else made
            async with aclosing(made) as items:
                named = NewModels()
                async for item in items:
                    data = encode_item(self._service, self._call, item)
                    if self._window is not None:
                        await self._window.reserve_async(self._call.id, len(data))
                    self._emit(Item(id=self._call.id, models=named.take()), data)
            return None
        except (CallInterrupted, ResultNotEncodable):
            raise
        except BaseException as error:
            raise self._error(error) from error

    async def _view(self, values: dict[str, Any], value: Any) -> Any:
        service = self._service
        if not has_view(service, self._call):
            return None
        if service.view_function is None:
            return value
        # Views are mostly synchronous code that draws: in a thread they block no other call.
        try:
            return await asyncio.to_thread(settings.entered, view_of, service, values, value)
        except asyncio.CancelledError as error:
            raise self._error(error) from error

    def _error(self, error: BaseException) -> BaseException:
        canceled = self._call.id in self._runner._cancelled
        interrupted = isinstance(error, asyncio.CancelledError) and canceled
        return CallInterrupted() if interrupted else UserCodeError(error)
