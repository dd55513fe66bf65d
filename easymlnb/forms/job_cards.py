"""The jobs that a form has started, each as a card with its progress, links and buttons."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from easymlnb.forms import shared_style as W
from easymlnb.forms.call_protocol import FollowedJob, JobCaller, JobModel, JobStatus
from easymlnb.forms.learning_curves import curves
from easymlnb.forms.markup import Markup, button, element, join

MAX_CARDS = 10
"""Jobs that a form shows; the oldest ones that have ended are removed first."""

STATES = {
    "queued": ("Queued", "still"),
    "running": ("Running", "still"),
    "succeeded": ("Succeeded", "good"),
    "failed": ("Failed", "bad"),
    "cancelled": ("Canceled", "still"),
}
"""State of a job -> its label and the color of its dot."""


@dataclass(slots=True)
class Card:
    """A job with the input of its call."""

    number: int
    values: dict[str, Any]
    status: JobStatus = field(default_factory=JobStatus)
    job: FollowedJob | None = None


class JobCards:
    """The cards, newest first.

    Parameters
    ----------
    caller : JobCaller
    on_change : callable
        Called when a job has got its ID, or its card is removed.
    title : str, default "Background job"
        What the jobs are.
    """

    def __init__(
        self,
        caller: JobCaller,
        on_change: Callable[[], None],
        *,
        title: str = "Background job",
    ) -> None:
        self.base = ""
        """The path of all routes in the links, as the browser sees it; without it no links."""
        self.cards: list[Card] = []
        self.widget = W.HTML()
        self.widget.add_class("em-jobs")
        self._caller = caller
        self._on_change = on_change
        self._title = title
        self._lock = threading.Lock()
        self._count = 0
        self._closed = False

    def start(self, values: dict[str, Any]) -> None:
        """Submit a job."""
        card = self._add(values, JobStatus())
        card.job = self._caller.submit_job(values, self._listener(card))

    def restore(self, id: str, values: dict[str, Any]) -> None:
        """Show a job that was submitted before the page was reloaded."""
        if all(card.status.id != id for card in self.cards):
            card = self._add(values, JobStatus(id))
            card.job = self._caller.follow_job(id, self._listener(card))

    def add(self, id: str, values: dict[str, Any]) -> None:
        """Show a job that a running call has become."""
        self.restore(id, values)
        self._on_change()

    def find(self, number: str) -> Card | None:
        """Return the card with the number that a button sends."""
        return next((card for card in self.cards if str(card.number) == number), None)

    def cancel(self, number: str) -> None:
        """Cancel the job of a card."""
        card = self.find(number)
        if card is not None and card.job is not None:
            card.job.cancel()

    def use_model(self, number: str) -> None:
        """Put the model of a card's job in production."""
        card = self.find(number)
        if card is None or card.status.model is None:
            return
        listener, status, model = self._listener(card), card.status, card.status.model

        def on_done(problem: str) -> None:
            used = replace(model, used=not problem)
            listener(replace(status, model=used, problem=problem))

        self._caller.use_model(status.id, on_done)

    def remove(self, number: str) -> None:
        """Remove a card; its job continues."""
        card = self.find(number)
        if card is None:
            return
        if card.job is not None:
            card.job.leave()
        with self._lock:
            self.cards.remove(card)
        self._show()
        self._on_change()

    def close(self) -> None:
        """Follow the jobs no longer; they continue."""
        self._closed = True
        for card in self.cards:
            if card.job is not None:
                card.job.leave()

    def _add(self, values: dict[str, Any], status: JobStatus) -> Card:
        with self._lock:
            self._count += 1
            card = Card(self._count, values, status)
            self.cards.insert(0, card)
            ended = [each for each in self.cards if each.status.ended]
            if len(self.cards) > MAX_CARDS and ended:
                self.cards.remove(ended[-1])
        self._show()
        return card

    def _listener(self, card: Card) -> Callable[[JobStatus], None]:
        # In a form kernel the context decides which page the widgets belong to.
        context = copy_context()
        return lambda status: context.copy().run(self._update, card, status)

    def _update(self, card: Card, status: JobStatus) -> None:
        if self._closed or card not in self.cards:
            return
        is_new = status.id != card.status.id
        card.status = status
        self._show()
        if is_new:
            self._on_change()

    def _show(self) -> None:
        with self._lock:
            self.widget.value = join(self._card(card) for card in self.cards)

    def _card(self, card: Card) -> Markup:
        status = card.status
        label, color = STATES.get(status.state, (status.state, "still"))
        if not status.id and not status.ended:
            label = "Submitting"
        head = element(
            "div.em-run-head",
            element(f"span.em-run-state.em-run-{color}", f"{self._title}: {label}"),
            element("span", _details(status)),
        )
        bar = element("progress.em-job-bar", value=f"{status.fraction:.3f}", max="1")
        return element(
            "div.em-job",
            head,
            None if status.ended else bar,
            curves(status.curves),
            _model(status.model) if status.model else None,
            element("div.em-help.em-wrong", status.problem) if status.problem else None,
            element("div.em-run-actions", *self._buttons(card)),
            role="status",
        )

    def _buttons(self, card: Card) -> list[Markup]:
        status, found = card.status, []
        if status.state == "succeeded":
            found.append(button("Show result", "job-show", card.number))
        model = status.model
        if model is not None and model.may_use and not model.used:
            found.append(button("Use this one", "job-use", card.number))
        if status.id and self.base:
            url = f"{self.base}jobs/{status.id}"
            targets = [("Open job", f"{url}/page"), ("Log", f"{url}/log")]
            if model is not None and model.file:
                targets.append(("Download", f"{url}/files/{quote(model.file)}"))
            for text, target in targets:
                found.append(
                    element("a.em-link", text, href=target, target="_blank", rel="noopener")
                )
        if status.ended:
            found.append(button("Remove", "job-remove", card.number))
        elif status.id:
            found.append(button("Cancel", "job-cancel", card.number))
        return found


def _model(model: JobModel) -> Markup:
    """Return which version of which model the job made."""
    text = f"Made version {model.version} of the model {model.name}"
    return element("div.em-help", f"{text}, now in production." if model.used else f"{text}.")


def _details(status: JobStatus) -> str:
    """Return the place in the queue, or the progress."""
    if status.ended:
        return ""
    if status.state == "running":
        percent = f"{100 * status.fraction:.0f} %" if status.fraction > 0 else ""
        return " \u00b7 ".join(filter(None, (percent, status.text)))
    place = f"{status.position - 1} ahead of it" if status.position and status.position > 1 else ""
    return ". ".join(filter(None, (place, status.text)))
