"""Models of scikit-learn in the format of skops, which runs no code."""

import warnings
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import ModelNotTrusted, ModelUnsupported
from easymlnb.model_store.format_base import (
    SKOPS,
    LoadOptions,
    SavedModel,
    SaveOptions,
    flavor_of,
    missing,
    version_of,
)
from easymlnb.model_store.trusted_types import TRUSTED

FILE = "model.skops"
SHOWN = 5


class OtherVersionWarning(UserWarning):
    """A model was saved with another version of its package."""


class SklearnFormat:
    """The format ``skops``."""

    def save(self, model: Any, folder: Path, options: SaveOptions) -> SavedModel:
        io = _skops_io()
        path = folder / FILE
        try:
            io.dump(model, path)
            unknown = _unknown(io, path, options.trusted)
        except ModelUnsupported:
            raise
        except Exception as error:
            raise ModelUnsupported(
                f"skops cannot save this model: {error} Save it with format='joblib'; only your "
                "own services can open that."
            ) from error
        if unknown:
            raise ModelUnsupported(_advice(unknown, "ml.registry.save"))
        found = sorted(io.get_untrusted_types(file=path))
        named = [one for one in found if one not in TRUSTED]
        flavor = flavor_of(model, FILE, "scikit-learn", "skops", "numpy", "scipy", "pandas")
        # Other tools that read skops need the names of all of them.
        flavor["contains"] = found
        return SavedModel(SKOPS, flavor | ({"types": named} if named else {}), {FILE: path})

    def load(self, folder: Path, flavor: dict[str, Any], options: LoadOptions) -> Any:
        io = _skops_io()
        path = folder / str(flavor.get("main", FILE))
        # Types that an author named count for the author's own code only.
        named = tuple(flavor.get("types", ())) if options.own else ()
        allowed = (*options.trusted, *named)
        _warn_of_other_version(flavor)
        try:
            if unknown := _unknown(io, path, allowed):
                raise ModelNotTrusted(_advice(unknown, "ml.model"))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=_inconsistent_version())
                return io.load(path, trusted=_trusted(io, path, allowed))
        except ModelNotTrusted:
            raise
        except Exception as error:
            raise ModelUnsupported(
                f"The file {path.name!r} cannot be loaded with the installed scikit-learn "
                f"{version_of('scikit-learn')}: {type(error).__name__}: {error}"
            ) from error


def _skops_io() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise missing("skops", SKOPS) from error
    return skops.io


def _unknown(io: Any, path: Path, allowed: tuple[str, ...]) -> list[str]:
    """Return the types in a file that neither we nor the author trust."""
    return sorted({*io.get_untrusted_types(file=path)} - TRUSTED - {*allowed})


def _trusted(io: Any, path: Path, allowed: tuple[str, ...]) -> list[str]:
    return sorted({*io.get_untrusted_types(file=path)} & (TRUSTED | {*allowed}))


def _advice(unknown: list[str], function: str) -> str:
    listed = ", ".join(unknown[:SHOWN]) + (", ..." if len(unknown) > SHOWN else "")
    return (
        f"The model contains types that are not known to be safe: {listed}. If you know them, "
        f"name them: {function}(..., trusted={unknown[:SHOWN]!r})"
    )


def _inconsistent_version() -> type[Warning]:
    from sklearn.exceptions import InconsistentVersionWarning

    kind: type[Warning] = InconsistentVersionWarning
    return kind


def _warn_of_other_version(flavor: dict[str, Any]) -> None:
    saved = str(flavor.get("packages", {}).get("scikit-learn", ""))
    here = version_of("scikit-learn")
    if saved and here and saved.split(".")[:2] != here.split(".")[:2]:
        warnings.warn(
            f"The model was saved with scikit-learn {saved}, and {here} is installed. Its "
            "predictions may differ. Train it again, or install the other version.",
            OtherVersionWarning,
            stacklevel=4,
        )
