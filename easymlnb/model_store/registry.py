"""``ml.registry``: save models, give them aliases, compare their versions."""

from collections.abc import Iterable, Mapping
from typing import Any

from easymlnb.client import Client
from easymlnb.client.models import UNCHANGED, Items
from easymlnb.contract.options import named_options
from easymlnb.model_store import source
from easymlnb.model_store.format_base import RUNS_CODE, SaveOptions
from easymlnb.model_store.saving import Description, archive_of


class Registry:
    """The models of the server that published services run on.

    It works in notebooks, in scripts that find a server like ``ml.connect()``, and in services,
    where models are those of the service's owner.
    """

    def __repr__(self) -> str:
        return "<easymlnb registry of models>"

    @property
    def _client(self) -> Client:
        return source.client()

    def get(self, name: str) -> dict[str, Any]:
        """Return a model with its aliases, versions and the services that load it."""
        return self._client.models.get(name)

    def versions(self, name: str) -> Items:
        """Return the versions of a model, newest first."""
        return self._client.models.versions(name)

    def version(self, name: str, version: int | str = "") -> dict[str, Any]:
        """Return a version with its files and learning curves; by default the latest."""
        return self._client.models.version(name, version)

    @named_options
    def save(
        self,
        model: Any,
        name: str,
        *,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        example: Any = None,
        tags: Mapping[str, str] | None = None,
        note: str = "",
        alias: str = "",
        format: str = "",
        trusted: Iterable[str] = (),
        config: Mapping[str, Any] | None = None,
        lineage: Mapping[str, Any] | None = None,
        curves: Iterable[tuple[str, int, float]] = (),
    ) -> dict[str, Any]:
        """Save an object as a new version of a model, and return the version.

        Parameters
        ----------
        model : object
            A model of scikit-learn, a torch module or its state, an ONNX model, or the ``Path`` of
            a file or folder.
        name : str
            The model's name. It is created if it does not exist.
        metrics : dict, optional
            Results of the training, such as ``{"mae": 1.6}``.
        params : dict, optional
            Parameters of the training.
        example : pandas.DataFrame or numpy.ndarray, optional
            Some rows of the input, which describe the columns or the shape.
        tags : dict, optional
            Words of your own.
        note : str, default ""
            What is different in this version.
        alias : str, optional
            Also let this alias name the version.
        format : str, optional
            Default: the safe format that fits. ``"joblib"`` and ``"pickle"`` can be opened by your
            own services only.
        trusted : iterable of str, optional
            Types in a model of scikit-learn that are not known to be safe, and that you know.
        config : dict, optional
            What ``build`` gets when a torch module is loaded.
        lineage : dict, optional
            Where the model comes from, such as ``{"data": "load.csv"}``.
        curves : iterable of (str, int, float), optional
            Metrics by step: name, step, value.

        Raises
        ------
        ModelUnsupported
            There is no safe format for the object; the message says what to do.
        """
        about = Description(
            metrics=metrics or {},
            params=params or {},
            tags=tags or {},
            lineage=lineage or {},
            example=example,
            note=note,
            curves=curves,
        )
        options = SaveOptions(tuple(trusted), dict(config or {}))
        client = self._client
        with archive_of(model, about, format=format, options=options) as archive:
            # This process has made the files from its own object.
            own = format in RUNS_CODE or bool(options.trusted)
            version = client.models.add_version(name, archive, trusted=own)
        if alias:
            client.models.alias(name, alias, version["version"])
            version["aliases"].append(alias)
        return version

    def alias(
        self, name: str, alias: str, version: int, *, expected: int | None = UNCHANGED
    ) -> dict[str, Any]:
        """Let an alias name a version; running services load it between two calls.

        ``expected`` is the version that it must name now, ``None`` for none. Raises
        ``AliasChanged``.
        """
        return self._client.models.alias(name, alias, version, expected=expected)

    def compare(self, name: str, versions: Iterable[int | str]) -> dict[str, Any]:
        """Return the metrics and parameters of versions side by side."""
        return self._client.models.compare(name, versions)

    def list(self, search: str = "") -> Items:
        """Return the models that you may see, by name."""
        return self._client.models.list(search)


registry = Registry()
"""The models of the server that published services run on."""
