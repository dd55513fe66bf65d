"""Let the running call of a form continue as a job."""

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from easymlnb.forms.call_protocol import HandOver, JobCaller, LeavableCall
from easymlnb.forms.job_cards import JobCards
from easymlnb.forms.run_bar import RunBar

MOVING = "Moving to the background"


class CallHandOver:
    """Moves calls to the cards of jobs.

    Parameters
    ----------
    caller : JobCaller
    cards : JobCards
    run_bar : RunBar
        Shows why a call does not move.
    restart : callable
        Stops the running call, and starts it again as a job.
    """

    def __init__(
        self,
        caller: JobCaller,
        cards: JobCards,
        run_bar: RunBar,
        restart: Callable[[], None],
    ) -> None:
        self._caller = caller
        self._cards = cards
        self._run_bar = run_bar
        self._restart = restart
        self._moving: object = self
        """The last call that was moved or started again; none twice, as after a double click."""

    def start(self, call: object, values: dict[str, Any], still_runs: Callable[[], bool]) -> None:
        """Move a call with its input, and return at once; one that cannot move starts again.

        ``still_runs`` tells whether the form still shows the call.
        """
        if call is self._moving:
            return
        self._moving = call
        if not isinstance(call, LeavableCall):
            self._restart()
            return
        # In a form kernel the context decides which page the widgets belong to.
        context = copy_context()

        def on_done(done: HandOver) -> None:
            context.run(self._show, done, values, still_runs)

        self._run_bar.note(MOVING)
        self._caller.hand_over(call.id, on_done)

    def _show(self, done: HandOver, values: dict[str, Any], still_runs: Callable[[], bool]) -> None:
        if done.job:
            self._cards.add(done.job, values)
        elif not done.may_restart:
            self._moving = self  # the visitor may try again
        if not still_runs():
            return
        self._run_bar.note("" if done.job or done.may_restart else done.problem)
        if done.may_restart:
            self._restart()
