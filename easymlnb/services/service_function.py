"""The type of a decorated function."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from easymlnb.services.definition import Service

if TYPE_CHECKING:
    from easymlnb.client.jobs import Job
    from easymlnb.publishing.checking import NotebookReport
    from easymlnb.publishing.comparing import ComparisonReport
    from easymlnb.publishing.publish import Published
    from easymlnb.publishing.scheduling import ServiceSchedule
    from easymlnb.publishing.sharing import ServiceAccess
    from easymlnb.publishing.traffic import ServicePromotion, ServiceTraffic

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
V = TypeVar("V", bound=Callable[..., Any])


class ServiceFunction(Protocol[P, R]):
    """The type of a decorated function: the function itself, with these attributes attached."""

    __name__: str
    service: Service

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def view(self, function: V, /) -> V:
        """Register a function that returns what people see of a result.

        It takes ``result`` and any of the service's parameters by name. It returns anything that a
        service may return: text, figures, images, tables, or a dict of them with titles as keys.
        """

    def app(self, function: V, /) -> V:
        """Register a function that lays out the app page.

        It receives the parts of the form (``fields``, ``run``, ``inputs``, ``result``,
        ``examples``, ``history``, ``code``) and returns ipywidgets. It runs once, where the
        notebook runs.

        Raises
        ------
        DefinitionError
            If a part is missing or used twice, or a widget would need code on the page.
        """

    def form(self) -> Any:
        """Return the form as a widget, to show it again or elsewhere."""

    def publish(self, **options: Any) -> "Published":
        """Publish the saved notebook as a new version, and wait until it serves.

        Parameters
        ----------
        notebook : str or Path, optional
            Path of the notebook. Default: the notebook of this kernel.
        include, exclude : iterable of str, optional
            Paths, folders or globs, relative to the notebook's folder. ``exclude`` takes
            precedence.
        requirements : iterable of str, str or Path, optional
            Requirements, or a requirements file. Default: ``requirements.txt`` next to the
            notebook, else the installed versions of the imported packages.
        url, token : str, optional
            The server. Default: the Hub's shared service if there is one, else this kernel's
            server.
        personal : bool, default False
            Publish on your own server although the Hub has a shared service.
        environment : {"kernel", "locked"}, optional
            Packages of the workers: those of the kernel at that time, or exactly the present ones.
            Default: as the decorator says, or as the server requires.
        replace : {"auto", "in_place", "wait"}, default "auto"
            What happens to the former version if there is no room for two.
        stage : bool, default False
            Give the new version no traffic; ``traffic`` or ``promote`` does later.
        force : bool, default False
            Give it traffic although it would break callers of the version that answers now.
        owner : str, optional
            On a shared service: a group that you belong to, or a user whose service you maintain.
            Default: yourself.
        gate : bool, default False
            Pass the quality gate first, here and on the server; see ``check``.
        wait : bool, default True
            ``False`` returns as soon as the server has accepted the bundle.
        timeout : float, default 600
            Seconds to wait until the version serves.

        Returns
        -------
        Published or None
            A record with ``service``, ``version``, ``url`` and ``unchanged``; ``None`` in a worker.

        Raises
        ------
        DeploymentFailed
            The notebook or an example failed; ``details`` has the cell and the traceback.
        Forbidden
            The shared service refuses this server's token.
        QualityGateFailed
            The quality gate found errors.
        EasyMLNBError
            The notebook is not saved, or the server refuses the bundle.
        """

    def check(self, **options: Any) -> "NotebookReport":
        """Check the saved notebook as the quality gate does, and return the findings.

        Nothing is run or uploaded.

        Parameters
        ----------
        notebook : str or Path, optional
            Path of the notebook. Default: the notebook of this kernel.
        advisories : str or Path, optional
            A local file with known vulnerabilities of packages: OSV records, or pip-audit's report.
        severity : dict, optional
            ``"error"``, ``"warning"``, ``"info"`` or ``"ignore"`` by check or rule, such as
            ``{"ruff:F401": "ignore"}``.

        Returns
        -------
        NotebookReport
            A record with ``passed``, ``counts``, ``findings`` and ``checks``.

        Raises
        ------
        GateUnavailable
            A tool is not installed; the message says which.
        """

    def stage(self, **options: Any) -> "Published":
        """Publish a new version that gets no traffic; the options are those of ``publish``."""

    def traffic(self, **options: Any) -> "ServiceTraffic":
        """Set which published versions answer calls; without options, return that.

        Parameters
        ----------
        weights : dict, optional
            Percentages by version number or alias, such as ``{3: 90, 4: 10}``.
        aliases : dict, optional
            Version numbers by name, such as ``{"candidate": 4}``.
        sticky : str or None, optional
            ``"caller"`` or ``"header:NAME"``: the same caller, or the same value of the header,
            gets the same version. ``None``: chance decides.
        shadow : dict or None, optional
            ``{"version": 4, "share": 0.1}``: send copies of a share of the calls to a version.
        if_match : str, optional
            The ``etag`` of the traffic that the change is for.
        force : bool, default False
            Give traffic to versions that would break callers.
        url, token : str, optional
            The server, as for ``publish``.

        Returns
        -------
        ServiceTraffic
            A record with ``weights``, ``aliases``, ``sticky``, ``shadow``, ``rollback``,
            ``promotion`` and ``etag``.

        Raises
        ------
        BreakingVersion
            A version would break callers of the one that answers now.
        TrafficChanged
            The traffic is no longer that of ``if_match``.
        DeploymentFailed
            A version did not start; the traffic is unchanged.
        """

    def promote(self, version: int | str, **options: Any) -> "ServicePromotion":
        """Move the calls to a version in steps. The server continues without the notebook.

        Parameters
        ----------
        version : int or str
            A version number or an alias.
        steps : iterable of float, default (5, 25, 50, 100)
            Percentages of the calls.
        every : float or str, default "10m"
            Duration of a step: seconds, ``"30s"``, ``"10m"``, ``"1h"``.
        abort_if : dict, optional
            When it goes back: ``error_rate_ratio`` (default 2), ``p95_ratio`` (1.5),
            ``memory_ratio`` (2) and ``min_calls`` (100).
        force : bool, default False
            Promote a version that would break callers.
        url, token : str, optional
            The server, as for ``publish``.

        Returns
        -------
        ServicePromotion
            A record with ``id``, ``version``, ``base``, ``state``, ``percent``, ``steps``,
            ``every`` and ``reason``.
        """

    def rollback(self, **options: Any) -> "ServiceTraffic":
        """Give all calls to the version that had them before; takes ``url`` and ``token``."""

    def share(self, **options: Any) -> "ServiceAccess":
        """Set who may call the service on a Hub's shared service; without arguments, return it.

        Parameters
        ----------
        users, groups : iterable of str, optional
            Names at the Hub.
        everyone, public : bool, default False
            All users of the Hub; also visitors without a login, on the app page.

        Returns
        -------
        ServiceAccess
            A record with ``service``, ``users``, ``groups``, ``everyone``, ``public`` and ``app``.

        Raises
        ------
        EasyMLNBError
            The service is not published on a shared service, or there is none.
        """

    def unshare(self) -> "ServiceAccess":
        """Restrict the service to its owner again."""

    def compare(
        self,
        before: int | str,
        after: int | str,
        *,
        on: str = "examples",
        limit: int | None = None,
        relative: float | None = None,
        absolute: float | None = None,
        url: str | None = None,
        token: str | None = None,
    ) -> "ComparisonReport":
        """Compare two published versions on the same inputs, and wait for the result.

        Parameters
        ----------
        before, after : int or str
            Version numbers or aliases.
        on : str, default "examples"
            ``"examples"``, ``"recorded"`` or ``"flagged"`` calls, or the path of a table of inputs
            (CSV or JSON lines).
        limit : int, default 200
            Largest number of inputs; of calls, the newest.
        relative, absolute : float, optional
            How far numbers may be apart. Default: 1e-6 and 1e-9.
        url, token : str, optional
            The server, as for ``publish``.

        Returns
        -------
        ComparisonReport
            A record with ``outcomes``, ``summary``, ``items``, ``same`` and ``url``.

        Raises
        ------
        IncompatibleVersions
            The versions do not take the same inputs.
        VersionNotFound
            The service has no such version.
        """

    def flags(self, *, url: str | None = None, token: str | None = None) -> list[dict[str, Any]]:
        """Return the calls that users flagged, newest first.

        Each has ``id``, ``time``, ``version``, ``reason``, ``caller``, ``inputs`` and more;
        ``client.admin.record(name, id)`` returns inputs and result.
        """

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> "Job":
        """Run the published version as a job, and return at once.

        Returns
        -------
        Job
            Its ``state``, ``progress``, ``wait()``, ``result()``, ``events()``, ``log``, ``files``
            and ``cancel()`` follow the job.

        Raises
        ------
        EasyMLNBError
            The service is not published.
        """

    def batch(
        self,
        table: Any,
        *,
        values: Mapping[str, Any] | None = None,
        extra_columns: str = "refuse",
    ) -> "Job":
        """Run the published version on each row of a table, as a job.

        Parameters
        ----------
        table : path, DataFrame, list of dicts or list of paths
            A CSV or parquet table with a column for each parameter, or a ZIP or list of files.
        values : mapping, optional
            Parameters that are the same for all rows.
        extra_columns : {"refuse", "keep"}, default "refuse"
            ``"keep"`` copies columns that are no parameters to the result.

        Returns
        -------
        Job
            Its ``result()`` is a table with all rows, its ``errors`` one with those that failed.
        """

    def sweep(
        self,
        grid: Mapping[str, Iterable[Any]] | None = None,
        *,
        points: Iterable[Mapping[str, Any]] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> "Job":
        """Run the published version with many parameters, as a job.

        Parameters
        ----------
        grid : mapping, optional
            A list of values for each parameter; all combinations run.
        points : iterable of mappings, optional
            The parameters of each run, in place of a grid.
        values : mapping, optional
            Parameters that are the same for all runs.

        Returns
        -------
        Job
            Its ``result()`` is a table with a row for each run.
        """

    def schedule(
        self,
        cron: str,
        *,
        zone: str = "UTC",
        inputs: Mapping[str, Any] | None = None,
        overlap: str = "skip",
        lane: str = "",
        attempts: int = 1,
        timeout: float = 0.0,
        url: str | None = None,
        token: str | None = None,
    ) -> "ServiceSchedule":
        """Run the published version at certain times, each time as a job.

        Parameters
        ----------
        cron : str
            Minute, hour, day of the month, month and day of the week, such as ``"0 6 * * 1-5"``.
        zone : str, default "UTC"
            A time zone, such as ``"Europe/Berlin"``.
        inputs : mapping, optional
            The parameters of each call.
        overlap : {"skip", "queue"}, default "skip"
            What happens at a time at which the last job has not ended.
        lane, attempts, timeout
            As of a submitted job; ``timeout`` in seconds, 0 for the server's maximum.
        url, token : str, optional
            The server, as for ``publish``.

        Returns
        -------
        ServiceSchedule
            A record with ``id``, ``description``, ``upcoming`` and ``url``;
            ``client.admin`` pauses and removes it.

        Raises
        ------
        BadRequest
            The cron expression or the time zone is invalid, or ``inputs`` do not fit.
        """

    def remove(self) -> None:
        """Remove the live service; published versions stay."""
