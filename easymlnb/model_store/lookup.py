"""``ml.model("forest@production")``: load a model by name."""

from collections.abc import Callable, Iterable
from typing import Any

from easymlnb.contract.model_names import split_reference
from easymlnb.contract.options import named_options
from easymlnb.model_store import source
from easymlnb.model_store.formats import LoadOptions
from easymlnb.model_store.handles import ModelHandle
from easymlnb.model_store.loading import load_version
from easymlnb.runtime.model_pins import ServedVersion
from easymlnb.runtime.served_models import MODELS, ModelSlot


@named_options
def model(
    name: str,
    version: int | str | None = None,
    *,
    build: Callable[..., Any] | None = None,
    prepare: Callable[[Any], Any] | None = None,
    device: str = "cpu",
    trusted: Iterable[str] = (),
    exclusive: bool = False,
) -> Any:
    """Load a model, and return what behaves like the object that was saved.

    Load it in a cell of its own, not in the function of the service. When the alias moves, running
    services load the new version and use it from the next call on.

    Parameters
    ----------
    name : str
        ``"forest"``, ``"forest@production"``, or MLflow's ``"models:/forest@production"`` and
        ``"models:/forest/3"``; on a shared service also ``"alice/forest@production"``.
    version : int or str, optional
        A number, or an alias. A number never changes. Default: the latest version.
    build : callable, optional
        Makes the torch module that gets the weights, from the saved ``config``.
    prepare : callable, optional
        Gets each version after it was loaded, and returns the object to use, or ``None`` for the
        same one.
    device : str, default "cpu"
        Where the weights of torch go.
    trusted : iterable of str, optional
        Types in a model of scikit-learn that are not known to be safe, and that you know.
    exclusive : bool, default False
        Drop the present version before the next one is loaded, because there is memory for one
        only. Calls wait meanwhile.

    Returns
    -------
    Model

    Raises
    ------
    ModelNotFound, ModelVersionNotFound
        There is no such model or version.
    ModelNotTrusted
        Opening the version could run code of somebody else.
    ModelUnsupported
        A package is missing, or the version cannot be loaded with the installed one.
    ModelDamaged
        A file does not match its SHA-256.
    """
    short_name, ref = split_reference(name, version)
    options = LoadOptions(build, device, tuple(trusted))

    def load(asked: str) -> ServedVersion:
        found = load_version(short_name, asked, options)
        value = found.value
        if prepare is not None:
            prepared = prepare(value)
            value = value if prepared is None else prepared
        return ServedVersion(found.model, found.version, value)

    def load_again(number: int, token: str) -> ServedVersion:
        source.ACCESS.receive(token)
        return load(str(number))

    slot = ModelSlot(ref, load(ref), load_again, exclusive=exclusive)
    MODELS.add(slot)
    return ModelHandle(slot)
