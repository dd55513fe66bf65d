"""The routes of jobs: submit, list, read, follow, cancel, retry and delete."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from jupyter_server.auth.identity import IdentityProvider
from tornado import web
from tornado.iostream import StreamClosedError

from easymlnb.contract.errors import (
    BadRequest,
    InternalError,
    JobNotFinished,
    JobNotFound,
    ResultExpired,
    RouteNotFound,
    StorageDamaged,
    from_code,
)
from easymlnb.contract.file_parameters import body_limit
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.calls import options
from easymlnb_server.calls.responses import EVENTS, attachment
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.downloads import send_chunks
from easymlnb_server.http.spooled_body import SpooledBodyHandler
from easymlnb_server.identity.access import SINGLE_USER, Action
from easymlnb_server.identity.grants import KeyGrant, Scope
from easymlnb_server.jobs import responses
from easymlnb_server.jobs.events import CHANGED, Follower
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import STATES, Job, JobDetails, JobPage, JobState
from easymlnb_server.jobs.query import number, whole_number
from easymlnb_server.jobs.submission import MAX_ATTEMPTS, Submission
from easymlnb_server.training.versions import shown_version
from easymlnb_server.uploads.handlers import owner_of_jobs, with_uploads

VERSION = "X-Easymlnb-Version"
"""The header that names the version that must run a job."""

MAX_LIMIT = 500
"""Maximum number of jobs in one part of a list."""

MAX_POLL = 60.0
"""Maximum seconds that a request for a job waits for its end."""

PING_EVERY = 15.0
"""Seconds without an event after which an event stream gets a comment."""


def job_owner(handler: EasyHandler) -> str:
    """Return the owner of the jobs of a request.

    On a personal server, the jobs of an app page belong to its user, as all others.
    """
    token = handler.page_token
    base = type(handler.identity_provider).get_user is IdentityProvider.get_user
    if token is not None and not token.public and base and not handler.state.services.shared:
        return SINGLE_USER
    return owner_of_jobs(handler)


def table_submission(handler: EasyHandler, name: str, not_before: float = 0.0) -> Submission:
    """Return the job of a request whose calls come from a table, and not from its body."""
    return Submission(
        service=name,
        caller=handler.caller,
        owner=job_owner(handler),
        body=b"",
        key=options.idempotency_key(handler.request.headers),
        request_id=handler.request_id,
        timeout=number(handler, "timeout", 0.0, 1e9),
        not_before=not_before,
    )


async def submission(
    handler: EasyHandler, name: str, body: Body, *, view: bool = False, version: str = ""
) -> Submission:
    """Return the job that a request asks for."""
    headers, get = handler.request.headers, handler.get_query_argument
    accept = headers.get("Accept", "")
    options.timeout(headers, float("inf"))  # that of a call, which must be valid all the same
    return Submission(
        service=name,
        caller=handler.caller,
        owner=job_owner(handler),
        body=body,
        content_type=headers.get("Content-Type", ""),
        accept="" if EVENTS in accept else accept,
        key=options.idempotency_key(headers),
        request_id=handler.request_id,
        view=view,
        lane=get("lane", ""),
        version=version,
        attempts=whole_number(handler, "attempts", 1, 1, MAX_ATTEMPTS),
        timeout=number(handler, "timeout", 0.0, 1e9),
        not_before=number(handler, "not_before", 0.0, 1e11),
        low_priority=options.is_low_priority(headers),
        webhook=await handler.state.webhooks.for_job(headers, handler.caller),
    )


def send_accepted(handler: EasyHandler, job: Job) -> None:
    """Send the response to a submitted job: 202 with the URL where it can be followed."""
    shown = responses.accepted(job, handler.address, handler.state.webhooks.secret_of(job))
    handler.set_header("Location", shown.url)
    handler.set_header("Retry-After", "1")
    handler.write_json(shown, 202)


async def send_result(handler: EasyHandler, job: Job) -> None:
    """Send the result of a job that has ended, or raise its error."""
    if not job.state.ended:
        raise JobNotFinished(job.state.shown)
    if job.result is None:
        told = job.error or InternalError().to_dict()["error"]
        error = from_code(told["code"], told["message"], told.get("details"), handler.request_id)
        if error.status != 503:
            raise error
        # That status asks for another try, which would find the same.
        status = 409 if job.state is JobState.CANCELLED else 500
        handler.write_json(error.to_dict(handler.request_id), status)
        return
    for name, value in responses.result_headers(job).items():
        handler.set_header(name, value)
    await send_stored(handler, job.result)


async def send_stored(handler: EasyHandler, name: str) -> None:
    """Send a stored file; raises ``ResultExpired`` if it is gone."""
    files = handler.state.jobs.store.files
    try:
        size = await asyncio.to_thread(files.size, name)
        chunks = await asyncio.to_thread(files.chunks, name)
        handler.set_header("Content-Length", str(size))
        await send_chunks(handler, lambda: next(chunks, b""))
    except StorageDamaged as error:
        raise ResultExpired from error


class JobHandlerBase(EasyHandler):
    """Base of the routes of jobs: callers see their own, administrators of a Hub all.

    An API key sees those of its owner's jobs that are of its services.
    """

    key_scopes: ClassVar = dict.fromkeys(("GET", "POST", "DELETE"), (Scope.JOBS,))

    async def prepare(self, *, _redirect_to_login: bool = True) -> None:
        await super().prepare(_redirect_to_login=_redirect_to_login)
        if (grant := self.grant) is not None and self.path_args:
            job = await self.jobs.get(self.path_args[0], self.owner)
            if not grant.matches(job.service):
                raise JobNotFound

    @property
    def grant(self) -> KeyGrant | None:
        """The rights of the API key that calls, if any."""
        return self.caller.key if self.caller is not None else None

    @property
    def jobs(self) -> Jobs:
        return self.state.jobs

    @property
    def owner(self) -> str | None:
        """The key of the jobs that the caller may see; ``None`` for all."""
        everything = self.state.services.shared and self.caller is not None and self.caller.admin
        if everything and self.page_token is None:
            return None
        return job_owner(self)

    async def found(self, id: str) -> Job:
        """Return a job that the caller may see; an app page sees those of its service."""
        job = await self.jobs.get(id, self.owner)
        if self.page_token is not None and job.service != self.page_token.service:
            raise JobNotFound
        return job

    async def details(self, job: Job) -> JobDetails:
        """Return a job as callers see it, with its runs, files and metrics."""
        repository = self.jobs.repository
        position = await self.jobs.position(job)
        attempts = await asyncio.to_thread(repository.attempts, job.id)
        files = await asyncio.to_thread(repository.files, job.id)
        metrics = await asyncio.to_thread(repository.metrics, job.id)
        shown = responses.details(job, self.address, position, attempts, files, metrics)
        shown.model = await shown_version(self.state.models, job, self.caller)
        return shown


class SubmitHandler(SpooledBodyHandler):
    """``POST services/{name}/jobs``: the body is that of a call."""

    key_scopes: ClassVar = {"POST": (Scope.JOBS,)}

    def body_limit(self) -> int:
        spec = self.state.invoker.find(self.path_args[0], self.caller).spec
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        limit = body_limit(spec.input, spec.max_body, kind)
        return self.state.quotas.max_body(spec.name, self.caller, limit)

    @web.authenticated
    async def post(self, name: str) -> None:
        body = with_uploads(self, self.read_spooled_body(), name)
        version = self.request.headers.get(VERSION, "").strip()
        services = self.state.services
        if version and services.allows(self.caller, name, Action.CALL):
            await services.wake(name, version)
        order = await submission(self, name, body, version=version)
        send_accepted(self, await self.state.jobs.submit(order))


class JobsHandler(JobHandlerBase):
    """``GET jobs``: one's own jobs, newest first."""

    @web.authenticated
    async def get(self) -> None:
        get = self.get_query_argument
        limit = whole_number(self, "limit", 50, 1, MAX_LIMIT)
        found, total = await self.jobs.find(
            owner=self.owner,
            states=states_named(get("state", "")),
            service=get("service", ""),
            among=self.grant.services if self.grant is not None else None,
            kind=get("kind", ""),
            parent=get("parent", ""),
            limit=limit + 1,
            start=get("start", ""),
        )
        shown = [responses.shown(self.jobs.current(job), self.address) for job in found[:limit]]
        following = found[limit].id if len(found) > limit else None
        self.write_json(JobPage(jobs=shown, total=total, next=following))


def states_named(word: str) -> list[JobState]:
    """Return the states that callers see under a word; raises ``BadRequest``."""
    if not word:
        return []
    if word not in STATES:
        raise BadRequest(f"state must be one of {', '.join(STATES)}, not {word[:40]!r}.")
    return [state for state in JobState if state.shown == word]


class JobHandler(JobHandlerBase):
    """``GET jobs/{id}``, also when it has ended; ``DELETE`` cancels it or removes it."""

    def accepts_token(self, token: PageToken) -> bool:
        return self.request.method == "GET"  # ``found`` checks the service

    @web.authenticated
    async def get(self, id: str) -> None:
        await self.found(id)
        wait = number(self, "wait", 0.0, MAX_POLL)
        job = await self.jobs.wait(id, self.owner, wait)
        self.write_json(await self.details(job))

    @web.authenticated
    async def delete(self, id: str) -> None:
        cancelled = await self.jobs.remove(id, self.owner)
        if cancelled is not None:
            self.write_json(responses.shown(cancelled, self.address), 202)
            return
        self.set_status(204)
        self.finish()


class JobResultHandler(JobHandlerBase):
    """``GET jobs/{id}/result``: the result as a call returns it, or the job's error."""

    def accepts_token(self, token: PageToken) -> bool:
        return True  # ``found`` checks the service

    @web.authenticated
    async def get(self, id: str) -> None:
        await send_result(self, await self.found(id))


class JobLogHandler(JobHandlerBase):
    """``GET jobs/{id}/log``: what the job printed, from a byte on."""

    @web.authenticated
    async def get(self, id: str) -> None:
        job = await self.jobs.get(id, self.owner)
        data = await self.jobs.log(job)
        start = whole_number(self, "from", 0, 0, 2**53)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Log-Size", str(len(data)))
        self.finish(data[start:])


class JobFileHandler(JobHandlerBase):
    """``GET jobs/{id}/files/{label}``: a file that the job saved, to download."""

    @web.authenticated
    async def get(self, id: str, label: str) -> None:
        job = await self.jobs.get(id, self.owner)
        files = await asyncio.to_thread(self.jobs.repository.files, job.id)
        file = next((file for file in files if file.label == label), None)
        if file is None:
            raise RouteNotFound(f"The job has no file {label!r}.")
        self.set_header("Content-Type", file.media_type)
        self.set_header("Content-Disposition", attachment(label))
        await send_stored(self, file.file)


class CancelJobHandler(JobHandlerBase):
    """``POST jobs/{id}/cancel``."""

    def accepts_token(self, token: PageToken) -> bool:
        return True  # ``found`` checks the service

    @web.authenticated
    async def post(self, id: str) -> None:
        await self.found(id)
        job = await self.jobs.cancel(id, self.owner)
        self.write_json(responses.shown(job, self.address), 202)


class RetryJobHandler(JobHandlerBase):
    """``POST jobs/{id}/retry``: a new job with the same input."""

    @web.authenticated
    async def post(self, id: str) -> None:
        send_accepted(self, await self.jobs.retry(id, self.owner, self.caller))


class JobEventsHandler(JobHandlerBase):
    """``GET jobs/{id}/events``: server-sent events until the job has ended.

    ``Last-Event-ID`` continues after an event. A stream that has nothing left to send answers 204,
    which stops an ``EventSource``.
    """

    @web.authenticated
    async def get(self, id: str) -> None:
        job = await self.jobs.get(id, self.owner)
        last = self._last_event()
        events = await asyncio.to_thread(self.jobs.repository.events, id, last)
        if job.state.ended and not events:
            self.set_status(204)
            self.finish()
            return
        self.set_header("Content-Type", EVENTS)
        self.set_header("X-Accel-Buffering", "no")  # proxies that collect would delay events
        with contextlib.suppress(StreamClosedError):
            with self.jobs.events.follow(id) as follower:
                async for chunk in self._events(job, last, follower):
                    self.write(chunk)
                    await self.flush()
            await self.finish()

    def _last_event(self) -> int:
        given = self.request.headers.get("Last-Event-ID", "") or self.get_query_argument(
            "after", "0"
        )
        if not (given.isascii() and given.isdigit()):
            raise BadRequest(f"Last-Event-ID must be a number, not {given[:40]!r}.")
        return int(given[:9])

    async def _events(self, job: Job, last: int, follower: Follower) -> AsyncIterator[bytes]:
        """Yield what happened after the event ``last``, then what happens."""
        yield b"retry: 1000\n\n"
        job = self.jobs.current(job)
        fraction = {"fraction": job.progress, "text": job.progress_text}
        changed, started = True, False
        while self.grant is None or self.state.keys.is_valid(self.grant.id):
            if changed:
                for event in await asyncio.to_thread(self.jobs.repository.events, job.id, last):
                    last = event.n
                    yield _event(
                        event.kind, {"n": event.n, "time": event.time, **event.data}, event.n
                    )
                if not started and job.state is JobState.RUNNING:
                    yield _event("progress", fraction)
                started = True
                if (await self.jobs.get(job.id, self.owner)).state.ended and follower.empty():
                    return
            try:
                async with asyncio.timeout(PING_EVERY):
                    message = await follower.get()
            except TimeoutError:
                changed = False
                yield b":\n\n"
                continue
            if message is None:
                return  # the reader is too slow; it can come back with its last event
            changed = message.kind == CHANGED
            if not changed:
                yield _event(message.kind, message.data)


def _event(kind: str, data: dict[str, Any], n: int | None = None) -> bytes:
    head = "" if n is None else f"id: {n}\n"
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
