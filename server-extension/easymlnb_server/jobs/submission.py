"""Turn what somebody wants to run into a job: check it, and choose its version and lane."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import random

import msgspec

from easymlnb.contract.errors import BadRequest, DeploymentFailed, Forbidden, VersionNotFound
from easymlnb.contract.training import Training
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.identity.access import Caller, is_pass_key
from easymlnb_server.jobs import lanes as lane_rules
from easymlnb_server.jobs.admission import options_of
from easymlnb_server.jobs.lanes import Lane
from easymlnb_server.jobs.models import CALL, TRAIN, Job, JobInput, JobOptions, JobState, new_id
from easymlnb_server.services.models import Target
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import LIVE, Selection

MAX_ATTEMPTS = 20
IDEMPOTENT_LOSSES = 3
"""Workers that a training, or a job of an idempotent service, may lose before it fails."""

NO_TRAINING = Training(model="", lane="")

VISITOR_RETENTION = 86400.0


@dataclass(frozen=True, slots=True)
class JobWebhook:
    """What is called at events of one job; the ``secret`` that signs is encrypted."""

    url: str
    events: tuple[str, ...]
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that somebody wants to run.

    - ``kind``: what the job runs, by default one call
    - ``owner``: the key of the caller, who sees the job
    - ``key``: the idempotency key, empty for none
    - ``lane``: empty for the one of the kind
    - ``attempts``: how often the function may raise before the job fails
    - ``timeout``: seconds that an attempt may run; 0 for the server's maximum
    - ``version``: the version that must run it; empty to let traffic decide
    - ``not_before``: when the job may start, in seconds since 1970
    - ``webhook``: what is called at the end of this job, besides the webhooks of its owner
    """

    service: str
    caller: Caller | None
    owner: str
    body: Body
    kind: str = CALL
    content_type: str = ""
    accept: str = ""
    key: str = ""
    request_id: str = ""
    view: bool = False
    lane: str = ""
    version: str = ""
    attempts: int = 1
    timeout: float = 0.0
    not_before: float = 0.0
    low_priority: bool = False
    webhook: JobWebhook | None = None


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Settings of jobs, in seconds: of an attempt, of a wait for the server, and of a result.

    ``node_stay`` is the wait of kernels on nodes.
    """

    timeout: float
    stay: float
    node_stay: float
    retention: float


def kept_seconds(job: Job, retention: float) -> float:
    """Return for how long a job that ended is kept: those of visitors for a day at most."""
    return min(retention, VISITOR_RETENTION) if is_pass_key(job.owner) else retention


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """How a new job runs, after what its submission, its service and the server say.

    - ``lane``: the one that was asked for, empty for the one of the kind
    - ``losses``: how many workers the job may lose before it fails
    """

    kind: str
    lane: str
    attempts: int
    losses: int
    timeout: float


@dataclass(frozen=True, slots=True)
class JobFactory:
    """Makes jobs.

    - ``timeout``: the maximum of seconds that an attempt may run
    - ``require_placement``: raises ``DeploymentFailed`` if workers of a bundle and its author
      cannot start in a placement
    """

    invoker: Invoker
    published: PublishedServices
    lanes: dict[str, Lane]
    timeout: float
    require_placement: Callable[[str, str, str], None]

    def make(self, submission: Submission, target: Target | None = None) -> Job:
        """Return the job of a submission, which still has no input.

        ``target`` is what runs it, by default what would answer a call now. A visitor's job runs
        once, for as long as a call may. Raises ``ServiceNotFound``, ``BadRequest``, or
        ``Forbidden`` for a visitor who could not find the job again.
        """
        if submission.caller is None and not is_pass_key(submission.owner):
            raise Forbidden("Jobs need a login: a visitor could not find them again.")
        target = target or self._target(submission)
        bundle, author = self._version(target)
        _check_spec(submission, target)
        terms = self._terms(submission, target)
        now = time.time()
        return Job(
            id=new_id(now),
            owner=submission.owner,
            service=submission.service,
            version=target.version,
            bundle=bundle,
            author=author,
            lane=self._lane(terms.kind, terms.lane, bundle, author),
            input=JobInput(file=""),
            kind=terms.kind,
            key=submission.key or None,
            attempts=terms.attempts,
            losses=terms.losses,
            not_before=submission.not_before,
            timeout=terms.timeout,
            input_type=submission.content_type,
            accept=submission.accept,
            options=_options(submission),
            created=now,
            changed=now,
        )

    def again(self, old: Job, caller: Caller) -> Job:
        """Return a new job with the input of an old one, for the current version.

        What did not succeed continues from its checkpoint, if the code is still the same.
        """
        target = self.invoker.find(old.service, caller)
        bundle, author = self._version(target)
        continues = bundle == old.bundle and old.state is not JobState.SUCCEEDED
        now = time.time()
        return Job(
            id=new_id(now),
            owner=old.owner,
            service=old.service,
            version=target.version,
            bundle=bundle,
            author=author,
            lane=self._lane(old.kind, old.lane, bundle, author),
            input=old.input,
            kind=old.kind,
            fingerprint=old.fingerprint,
            attempts=old.attempts,
            losses=old.losses,
            timeout=old.timeout,
            input_type=old.input_type,
            accept=old.accept,
            options=msgspec.structs.replace(
                options_of(caller, old.options.request_id, view=old.options.view),
                webhook=old.options.webhook,
                webhook_events=old.options.webhook_events,
                webhook_secret=old.options.webhook_secret,
            ),
            retry_of=old.id,
            checkpoint=old.checkpoint if continues else None,
            former_checkpoint=old.former_checkpoint if continues else None,
            created=now,
            changed=now,
        )

    def _terms(self, submission: Submission, target: Target) -> JobTerms:
        """Return the terms of a new job; raises ``BadRequest``."""
        spec, is_visitor = target.spec, submission.caller is None
        kind = TRAIN if submission.kind == CALL and spec.training else submission.kind
        training = spec.training or NO_TRAINING
        lane = submission.lane or (training.lane if kind == TRAIN else "")
        attempts = 1 if is_visitor else max(submission.attempts, training.attempts)
        check_attempts(attempts)
        repeatable = kind == TRAIN or spec.resources.idempotent
        limit = min(self.timeout, spec.timeout) if is_visitor else self.timeout
        return JobTerms(
            kind=kind,
            lane="" if is_visitor else lane,
            attempts=attempts,
            losses=IDEMPOTENT_LOSSES if repeatable else 0,
            timeout=min(submission.timeout or training.timeout or limit, limit),
        )

    def _target(self, submission: Submission) -> Target:
        """Return what answers a call now."""
        chosen = Selection(
            version=submission.version, owner=submission.owner, headers={}, point=random()
        )
        return self.invoker.find(
            submission.service,
            submission.caller,
            published_only=submission.caller is None,
            selection=chosen,
        )

    def _lane(self, kind: str, wanted: str, bundle: str, author: str) -> str:
        """Return the lane of a new job; raises ``BadRequest``."""
        name = lane_rules.choose(self.lanes, kind, wanted)
        placement = self.lanes[name].placement
        if placement:
            try:
                self.require_placement(bundle, author, placement)
            except DeploymentFailed as error:
                raise BadRequest(f"The lane {name!r} cannot run jobs. {error.message}") from error
        return name

    def _version(self, target: Target) -> tuple[str, str]:
        """Return the bundle of what answers a call, and who runs it."""
        service = self.published.get(target.name)
        if target.version == LIVE or service is None:
            raise BadRequest(
                f"{target.name!r} is not published, and jobs run published versions. Publish it: "
                "ml.publish(...), or 'easymlnb publish'."
            )
        number = int(target.version)
        version = service.versions.get(number) or service.sleeping.get(number)
        if version is None:
            raise VersionNotFound(target.version)
        return version.bundle, service.owner


def check_attempts(attempts: int) -> None:
    """Raise ``BadRequest`` if a job may not have this many attempts."""
    if not 1 <= attempts <= MAX_ATTEMPTS:
        raise BadRequest(f"attempts must be from 1 to {MAX_ATTEMPTS}, not {attempts}.")


def _check_spec(submission: Submission, target: Target) -> None:
    """Raise if what would run a submission cannot run as a job of this caller."""
    if target.spec.stream:
        raise BadRequest(
            f"{submission.service!r} is a streaming service; a job returns one result."
        )
    if submission.caller is None and target.spec.training is not None:
        raise Forbidden("Training needs a login, because it adds a version to a model.")


def _options(submission: Submission) -> JobOptions:
    """Return the options of a new job."""
    options = options_of(submission.caller, submission.request_id, view=submission.view)
    hook = submission.webhook
    if hook is None:
        return options
    return msgspec.structs.replace(
        options, webhook=hook.url, webhook_events=hook.events, webhook_secret=hook.secret
    )
