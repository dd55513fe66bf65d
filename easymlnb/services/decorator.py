"""``@ml.service``: a function becomes a service and stays that function."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast, get_overloads, overload

from easymlnb.contract.errors import DefinitionError, EasyMLNBError
from easymlnb.contract.options import check, known
from easymlnb.contract.spec import Batch, Record
from easymlnb.publishing import current_notebook
from easymlnb.runtime import environment, notebook
from easymlnb.runtime.live import session
from easymlnb.services.definition import SERVICES, Service, define
from easymlnb.services.service_function import P, R, ServiceFunction, V

if TYPE_CHECKING:
    from easymlnb.client.jobs import Job
    from easymlnb.publishing.checking import NotebookReport
    from easymlnb.publishing.publish import Published
    from easymlnb.publishing.scheduling import ServiceSchedule
    from easymlnb.publishing.sharing import ServiceAccess


_FORMS: dict[str, Any] = {}
"""The displayed form of each service of this kernel."""


class ServiceNameWarning(UserWarning):
    """The server refused to register a live service; the function itself works."""


class ServerWarning(UserWarning):
    """The Jupyter server of this notebook does not run easymlnb."""


@overload
def service(function: Callable[P, R], /) -> ServiceFunction[P, R]: ...
@overload
def service(
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    tags: Sequence[str] = (),
    author: str | None = None,
    license: str | None = None,
    examples: Sequence[Mapping[str, Any]] = (),
    timeout: float | None = None,
    on_timeout: str | None = None,
    workers: int | None = None,
    min_workers: int | None = None,
    max_workers: int | None = None,
    target_calls: float | None = None,
    idle: float | str | None = None,
    memory: int | str | None = None,
    gpu: float | str | None = None,
    idempotent: bool | None = None,
    placement: str | None = None,
    environment: str | None = None,
    public: bool | None = None,
    max_body: int | None = None,
    batch: Batch | None = None,
    concurrency: int | None = None,
    max_concurrent: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    record: Record | None = None,
) -> Callable[[Callable[P, R]], ServiceFunction[P, R]]: ...
def service(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a service: a form under the cell, and a route that answers calls.

    The function remains itself: calling it, ``help`` and pickling work as before. Hints and
    defaults of its parameters become the form's fields and the checks of every call.

    Parameters
    ----------
    name : str, optional
        Lowercase letters, digits and ``_``, at most 63, except ``admin``, ``close``, ``jobs`` and
        ``models``, which the Python client uses itself. Default: the function's name.
    title : str, optional
        Heading for people. Default: the name in words.
    description : str, optional
        Markdown. Default: the docstring.
    tags, author, license : optional
        Metadata for the catalog.
    examples : sequence of dict, optional
        Values of the parameters: presets of the form, documentation and health check.
    timeout : float, default 30
        Seconds that a call may take.
    on_timeout : {"job"}, optional
        A call that takes longer than ``timeout`` continues as a job, and its caller gets that job's
        URL instead of an error.
    workers : int, default 1
        Calls that run at a time: threads of the kernel when live, kernels when published.
    min_workers, max_workers : int, optional
        Bounds for the number of published workers, instead of ``workers``. With ``min_workers=0``
        the last worker ends after ``idle``, and the next call starts one and waits for it.
    target_calls : float, optional
        Running and waiting calls that one worker should have on average; with more, another worker
        starts. Default: what a worker runs at a time (1, ``max_size`` or ``concurrency``).
    idle : float or str, default "10m"
        Time without calls after which the last worker ends: seconds, ``"30s"``, ``"10m"``,
        ``"1h"``.
    memory : int or str, optional
        Memory limit of one published worker: bytes, ``"500M"``, ``"2G"``. A worker that stays above
        it is replaced; one above 1.5 times is killed. Default: ``EasyMLNB.worker_memory``.
    gpu : float or str, default 0
        GPUs of each published worker: 1, 2, ..., a share such as 0.5, or ``"prefer"`` for one if
        there is any.
    idempotent : bool, default False
        Whether a call whose worker is lost may run once more on another worker.
    placement : str, optional
        Where published workers start: ``"local"``, or the name of a placement of the JupyterHub
        (``easymlnb placement list``). Default: the server's own machine, or the first placement
        that has enough GPUs.
    environment : {"kernel", "locked"}, default "kernel"
        Packages of published workers: those of the notebook's kernel at that time, or exactly those
        at publishing. Write ``"locked"`` as a literal.
    public : bool, default False
        Whether visitors without a login may use the app page ``public/{name}``. REST calls always
        need a login.
    max_body : int, default 104857600
        Largest request body in bytes.
    batch : Batch, optional
        Answer many calls with one run; all parameters are then ``ml.Batched[...]``.
    concurrency : int, default 16
        Calls of an ``async def`` that run at a time in one worker. Plain functions run one at a
        time.
    max_concurrent : int, optional
        Runs of this service at a time over all its workers; a batch is one run. Default: no limit.
    metadata : dict, optional
        More for catalogs: summary, date, citation, doi, dataset, source, documentation, libraries,
        tasks, resources, thumbnail.
    record : Record, optional
        Which calls are kept with their inputs and results. Default: only calls that users flag.

    Returns
    -------
    ServiceFunction
        The function itself, with attributes attached.

    Raises
    ------
    DefinitionError
        A ``TypeError`` that names the parameter or option and the fix.

    Examples
    --------
    >>> @ml.service(examples=[{"sides": 6}])
    ... def roll(sides: Annotated[int, ml.Slider(2, 100)] = 6) -> int:
    ...     return random.randint(1, sides)
    """
    check("ml.service", options, options_of_service())
    if function is None:
        return lambda decorated: attach(decorated, options)
    return attach(function, options)


@cache
def options_of_service() -> tuple[str, ...]:
    """Return the names of the options of ``ml.service``."""
    return known(get_overloads(service)[1])


def attach(function: Any, options: dict[str, Any], run: Callable[..., Any] | None = None) -> Any:
    """Make a function a service; ``run`` is what answers its calls, by default itself."""
    if hasattr(function, "service") and isinstance(function.service, Service):
        raise DefinitionError(
            f"{function.__name__!r} is already a service. Decorate the function only once."
        )
    service = define(function, **options)
    service.function = run or function
    notebook.follow()
    if environment.has_server():
        service.spec = service.spec.with_notebook_metadata(current_notebook.live_metadata())
    decorated = cast("Any", function)
    decorated.service = service
    decorated.form = lambda: _form(service)
    decorated.view = lambda view: _view(service, view)
    decorated.app = lambda page: _app(service, page)
    decorated.publish = lambda **given: _publish(service, given)
    decorated.check = partial(_check, service)
    decorated.stage = lambda **given: _publish(service, {**given, "stage": True})
    decorated.traffic = lambda **given: _versions(service, "traffic", given)
    decorated.promote = lambda version, **given: _versions(service, "promote", given, version)
    decorated.rollback = lambda **given: _versions(service, "rollback", given)
    decorated.share = lambda **given: _share(service, given)
    decorated.unshare = lambda: _share(service, {"users": ()})
    decorated.compare = partial(_remotely, "compare", service)
    decorated.flags = partial(_remotely, "flags", service)
    decorated.remove = lambda: _remove(service)
    decorated.submit = lambda *given, **values: _submit(service, given, values)
    decorated.batch = lambda table, **options: _batch(service, table, options)
    decorated.sweep = lambda grid=None, **options: _sweep(service, grid, options)
    decorated.schedule = lambda cron, **given: _schedule(service, cron, given)
    SERVICES[service.name] = service
    _warn_of_lack_of_server()
    refused = _offer(service)
    if refused is not None:
        warnings.warn(refused, ServiceNameWarning, stacklevel=3)
    _show(service)
    return decorated


@cache
def _warn_of_lack_of_server() -> None:
    """Warn only at the first service of a kernel."""
    lack = environment.lack_of_server()
    if lack:
        warnings.warn(lack, ServerWarning, stacklevel=4)


def _offer(service: Service) -> str | None:
    return session.link().offer(service) if environment.has_server() else None


def _view(service: Service, function: V) -> V:
    service.set_view(function)
    _offer(service)
    return function


def _app(service: Service, function: V) -> V:
    from easymlnb.forms.layout_capture import capture_layout

    service.set_app(capture_layout(service.spec, function))
    _offer(service)
    return function


def _remove(service: Service) -> None:
    _close_form(service.name)
    if SERVICES.get(service.name) is service:
        del SERVICES[service.name]
        if environment.has_server():
            session.link().withdraw(service.name)


def _publish(service: Service, options: dict[str, Any]) -> "Published | None":
    if environment.in_worker():
        # A worker that executes the notebook must not publish it again.
        return None
    from easymlnb.publishing.publish import publish

    return publish(service.name, **options)


def _check(service: Service, **options: Any) -> "NotebookReport":
    from easymlnb.publishing.publish import check_notebook

    return check_notebook(service.name, **options)


def _versions(service: Service, what: str, options: dict[str, Any], *values: Any) -> Any:
    if environment.in_worker():
        return None
    from easymlnb.publishing import traffic

    return getattr(traffic, what)(service.name, *values, **options)


def _share(service: Service, options: dict[str, Any]) -> "ServiceAccess | None":
    if environment.in_worker():
        return None
    from easymlnb.publishing.sharing import share

    return share(service.name, **options)


def _submit(service: Service, given: tuple[Any, ...], values: dict[str, Any]) -> "Job":
    from easymlnb.publishing.submitting import submit

    return submit(service.name, given, values)


def _schedule(service: Service, cron: str, options: dict[str, Any]) -> "ServiceSchedule | None":
    if environment.in_worker():
        return None
    from easymlnb.publishing.scheduling import schedule

    return schedule(service.name, cron, **options)


def _remotely(name: str, service: Service, *args: Any, **options: Any) -> Any:
    """Call a function of ``publishing.comparing`` about a published service, not in a worker."""
    if environment.in_worker():
        return None
    from easymlnb.publishing import comparing

    return getattr(comparing, name)(service.name, *args, **options)


def _form(service: Service) -> Any:
    from easymlnb.forms.form import Form
    from easymlnb.forms.local_caller import LocalCaller

    caller = LocalCaller(service, flags=environment.has_server())
    return Form(service.spec, caller, url=environment.server_url())


def _close_form(name: str) -> None:
    """Close the widgets of the previous form, because each run of a cell creates a new one."""
    form = _FORMS.pop(name, None)
    if form is not None:
        form.close()


def _show(service: Service) -> None:
    """Display the form under the cell, if the kernel has a server."""
    if not environment.has_server():
        return
    try:
        from IPython.display import display

        _close_form(service.name)
        _FORMS[service.name] = form = _form(service)
        display(form)  # type: ignore[no-untyped-call]
    except (ImportError, EasyMLNBError) as error:
        warnings.warn(f"The form cannot be displayed: {error}", stacklevel=4)


def _batch(service: Service, table: Any, options: dict[str, Any]) -> "Job":
    from easymlnb.publishing.submitting import batch

    return batch(service.name, table, **options)


def _sweep(service: Service, grid: Any, options: dict[str, Any]) -> "Job":
    from easymlnb.publishing.submitting import sweep

    return sweep(service.name, grid, **options)
