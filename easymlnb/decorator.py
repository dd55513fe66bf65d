"""``@ml.service``: a function becomes a service and stays that function."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, get_overloads, overload

from easymlnb import live, own
from easymlnb.contract.errors import DefinitionError, EasyMLNBError
from easymlnb.contract.options import check, known
from easymlnb.contract.spec import Batch
from easymlnb.definition import DEFINED, Service, define
from easymlnb.runtime import notebook

if TYPE_CHECKING:
    from easymlnb.publish import Published
    from easymlnb.share import Access

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
V = TypeVar("V", bound=Callable[..., Any])


_SHOWN: dict[str, Any] = {}
"""The form under the cell of each service of this kernel."""


class NameWarning(UserWarning):
    """The server did not take a live service; the function itself still works."""


class ServerWarning(UserWarning):
    """The Jupyter server of this notebook does not run easymlnb."""


class ServiceFunction(Protocol[P, R]):
    """What the decorator returns: the very function, with these attributes attached."""

    __name__: str
    service: Service

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def view(self, function: V, /) -> V:
        """Decorator: ``function(<any parameters>, result)`` returns what people see of a result."""

    def app(self, function: V, /) -> V:
        """Decorator: ``function(form)`` returns ipywidgets that lay out the service's page."""

    def form(self) -> Any:
        """Return the form as a widget, to show it again or elsewhere."""

    def publish(self, **options: Any) -> "Published":
        """Freeze the saved notebook as a new version, once it has passed its examples."""

    def share(self, **options: Any) -> "Access":
        """Say who may call it on a Hub's shared service: users, groups, everyone, public."""

    def unshare(self) -> "Access":
        """Keep it to yourself again."""

    def remove(self) -> None:
        """Take the live service away; what is published stays."""


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
    workers: int | None = None,
    min_workers: int | None = None,
    max_workers: int | None = None,
    target_calls: float | None = None,
    idle: float | str | None = None,
    memory: int | str | None = None,
    gpu: float | str | None = None,
    idempotent: bool | None = None,
    placement: str | None = None,
    public: bool | None = None,
    max_body: int | None = None,
    batch: Batch | None = None,
    concurrency: int | None = None,
    max_concurrent: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Callable[[Callable[P, R]], ServiceFunction[P, R]]: ...
def service(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a service: a form under the cell, and a route that answers calls.

    The function stays itself: calling it, ``help`` and pickling work as before. Hints and defaults
    of its parameters become the form's fields and the checks of every call.

    name: small letters, digits and ``_``; default: the function's name.
    title: heading for people; default: the name in words.
    description: Markdown; default: the docstring.
    tags, author, license: metadata for the catalogue.
    examples: dicts of parameters; presets of the form, documentation and health check at once.
    timeout: seconds a call may take, default 30.
    workers: how many calls run at once (live: threads; published: kernels), default 1.
    min_workers, max_workers: in place of ``workers``, bounds between which published workers come
        and go with the calls; with ``min_workers=0`` the last one ends after a time without calls,
        and the next call waits until there is one again.
    target_calls: calls, running and in line, that one worker should have on average; with more,
        another is started. Default: what it runs at once (1, or ``max_size``, or ``concurrency``).
    idle: how long without calls until the last worker ends (``"10m"``, the default, or seconds).
    memory: what one published worker may take (``"2G"`` or bytes), default the server's. One that
        stays above it is replaced, one that is far above is ended with its call.
    gpu: GPUs of each published worker: 1, 2, ..., a share such as 0.5 of one that workers then
        share, or ``"prefer"`` for one if there is any; default 0.
    idempotent: ``True`` where running a call twice does no harm: one whose worker is lost then runs
        once more on another, and its caller is not told ``worker_lost``. Default ``False``.
    placement: where published workers start: ``"local"`` or the name of a placement that the
        administrator of a JupyterHub gave (``easymlnb placement list``). Default: the server's own
        machine, or with ``gpu=``, where that has too few, the first placement that has enough.
    public: visitors without a login may use its page, ``public/{name}``; calls over REST need a
        login whatever it says.
    max_body: largest request body in bytes, default 100 MiB.
    batch: answer many calls with one run of the function; its parameters are ``ml.Batched[...]``.
    concurrency: how many calls of an ``async def`` run at once in one worker, default 16; with 1
        they come one at a time, as those of plain functions always do.
    max_concurrent: how many calls of this service run at once over all its workers, so that others
        of the notebook have their share; a batch counts as one. Default: no bound of its own.
    metadata: more for catalogues: summary, date, citation, doi, dataset, source, documentation,
        libraries, tasks, resources, thumbnail.

    Raises ``DefinitionError`` (a ``TypeError``) that names the parameter and the fix.
    """
    check("ml.service", options, options_of_service())
    if function is None:
        return lambda decorated: _attach(decorated, options)
    return _attach(function, options)


@cache
def options_of_service() -> tuple[str, ...]:
    """Return the names of the options of ``ml.service``."""
    return known(get_overloads(service)[1])


def _attach(function: Any, options: dict[str, Any]) -> Any:
    if hasattr(function, "service") and isinstance(function.service, Service):
        raise DefinitionError(
            f"{function.__name__!r} is already a service. Decorate the function only once."
        )
    made = define(function, **options)
    notebook.follow()
    if live.has_server():
        made.spec = made.spec.described(own.said())
    decorated = cast("Any", function)
    decorated.service = made
    decorated.form = lambda: _form(made)
    decorated.view = lambda view: _view(made, view)
    decorated.app = lambda page: _app(made, page)
    decorated.publish = lambda **given: _publish(made, given)
    decorated.share = lambda **given: _share(made, given)
    decorated.unshare = lambda: _share(made, {"users": ()})
    decorated.remove = lambda: _remove(made)
    DEFINED[made.name] = made
    _warn_of_lack_of_server()
    refused = _offer(made)
    if refused is not None:
        warnings.warn(refused, NameWarning, stacklevel=3)
    _show(made)
    return decorated


@cache
def _warn_of_lack_of_server() -> None:
    """Warn at the first service of a kernel only; its other cells would repeat the same."""
    lack = live.lack_of_server()
    if lack:
        warnings.warn(lack, ServerWarning, stacklevel=4)


def _offer(made: Service) -> str | None:
    return live.link().offer(made) if live.has_server() else None


def _view(made: Service, function: V) -> V:
    made.set_view(function)
    _offer(made)
    return function


def _app(made: Service, function: V) -> V:
    from easymlnb.forms.layouts import taken_down

    made.set_app(taken_down(made.spec, function))
    _offer(made)
    return function


def _remove(made: Service) -> None:
    _close_form(made.name)
    if DEFINED.get(made.name) is made:
        del DEFINED[made.name]
        if live.has_server():
            live.link().withdraw(made.name)


def _publish(made: Service, options: dict[str, Any]) -> "Published | None":
    if live.in_worker():
        # The notebook publishes itself; the worker that executes it must not.
        return None
    from easymlnb.publish import publish

    return publish(made.name, **options)


def _share(made: Service, options: dict[str, Any]) -> "Access | None":
    if live.in_worker():
        return None
    from easymlnb.share import share

    return share(made.name, **options)


def _form(made: Service) -> Any:
    from easymlnb.forms.form import Form
    from easymlnb.forms.local import LocalCaller

    return Form(made.spec, LocalCaller(made), url=live.server_url())


def _close_form(name: str) -> None:
    """Free the widgets of the form that was shown last: each run of a cell makes a new one."""
    form = _SHOWN.pop(name, None)
    if form is not None:
        form.close()


def _show(made: Service) -> None:
    """Show the form under the cell where a person can see it."""
    if not live.has_server():
        return
    try:
        from IPython.display import display

        _close_form(made.name)
        _SHOWN[made.name] = form = _form(made)
        display(form)  # type: ignore[no-untyped-call]
    except (ImportError, EasyMLNBError) as error:
        warnings.warn(f"The form cannot be displayed: {error}", stacklevel=4)
