"""The types of inputs and outputs of a user interface."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from easymlnb import types
from easymlnb.contract.errors import DefinitionError
from easymlnb.types.base import Extra, is_a

__all__ = [
    "BaseType",
    "CSVFile",
    "File",
    "ImageFile",
    "MultipleChoice",
    "Number",
    "Plot",
    "Range",
    "SingleChoice",
    "Text",
    "TextLong",
    "TimeSeriesCSVFile",
    "Webcam",
]


class BaseType:
    """Base class of inputs and outputs.

    A subclass has the hint of its inputs in ``input_hint``, that of its results in ``output_hint``,
    and converts results in ``shown``.

    Parameters
    ----------
    name : str, optional
        Label of the field or the result.
    description : str, optional
        Help for the field.
    """

    default: Any = inspect.Parameter.empty
    """Value of an input that is left empty; without one the input is required."""

    def __init__(self, name: str = "", description: str = "") -> None:
        self.name = name
        self.description = description

    def input_hint(self) -> Any:
        """Return the hint of a parameter."""
        raise DefinitionError(
            f"{type(self).__name__} cannot be an input: it does not define input_hint()."
        )

    def output_hint(self) -> Any:
        """Return the hint of a result; ``None`` is always possible."""
        raise DefinitionError(
            f"{type(self).__name__} cannot be an output: it does not define output_hint()."
        )

    def shown(self, value: Any) -> Any:
        """Return a result of ``process_response`` as ``output_hint`` expects it."""
        return value

    def labeled(self, hint: Any) -> Any:
        """Return a hint with the label and the description."""
        about = {"title": self.name, "description": self.description}
        return Annotated[hint, Extra({}, {key: text for key, text in about.items() if text})]


class Text(BaseType):
    """One line of text."""

    default = ""
    marker: Any = types.Text

    def input_hint(self) -> Any:
        return self.labeled(Annotated[str, self.marker()])

    def output_hint(self) -> Any:
        return self.labeled(Annotated[str | None, self.marker()])

    def shown(self, value: Any) -> Any:
        return None if value is None else str(value)


class TextLong(Text):
    """Text of many lines."""

    marker = types.LongText


class Number(BaseType):
    """A number.

    Parameters
    ----------
    dtype : type, default int
    precision : int, optional
        Decimal places of a ``float``. Default: 2.
    name, description : str
        As in ``BaseType``.
    """

    def __init__(self, dtype: Any = int, precision: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dtype = dtype
        self.precision = 2 if precision is None else precision

    @property
    def kind(self) -> type:
        """The Python type of the values."""
        return int if isinstance(self.dtype, type) and is_whole(self.dtype) else float

    def input_hint(self) -> Any:
        return self.labeled(Annotated[self.kind, types.Number()])

    def output_hint(self) -> Any:
        return self.labeled(self.kind | None)

    def shown(self, value: Any) -> Any:
        if value is None:
            return None
        return round(float(value)) if self.kind is int else round(float(value), self.precision)


class Range(Number):
    """A number between two others, picked with a slider.

    Parameters
    ----------
    minimum, maximum : float
        Bounds, both included.
    dtype : type, default float
    name, description : str
        As in ``BaseType``.
    """

    def __init__(self, minimum: float, maximum: float, dtype: Any = float, **kwargs: Any) -> None:
        super().__init__(dtype, **kwargs)
        if minimum >= maximum:
            raise DefinitionError(
                f"The minimum of a Range must be less than its maximum, not {minimum!r} and "
                f"{maximum!r}."
            )
        self.minimum = minimum
        self.maximum = maximum
        self.step = 1 if self.kind is int else 0.01
        self.default = self.kind(minimum)

    def input_hint(self) -> Any:
        slider = types.Slider(self.minimum, self.maximum, self.step)
        return self.labeled(Annotated[self.kind, slider])

    def shown(self, value: Any) -> Any:
        return None if value is None else self.kind(value)


class SingleChoice(BaseType):
    """One of several texts."""

    def __init__(self, choices: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choices = list(choices)
        if not self.choices:
            raise DefinitionError(f"{type(self).__name__} needs at least one choice.")

    def input_hint(self) -> Any:
        return self.labeled(types.Choice(self.choices))

    def output_hint(self) -> Any:
        return self.labeled(str | None)

    def shown(self, value: Any) -> Any:
        return None if value is None else str(value)


class MultipleChoice(SingleChoice):
    """Any number of several texts."""

    def __init__(self, choices: Sequence[str], **kwargs: Any) -> None:
        super().__init__(choices, **kwargs)
        self.default = []

    def input_hint(self) -> Any:
        return self.labeled(types.MultipleChoice(self.choices))

    def output_hint(self) -> Any:
        return self.labeled(list[str] | None)

    def shown(self, value: Any) -> Any:
        if value is None:
            return None
        return [value] if isinstance(value, str) else [str(item) for item in value]


class File(BaseType):
    """A file: ``bytes`` as an input; the path of a file, or bytes, as a result."""

    accept: tuple[str, ...] = ()
    filename = "result"

    def __init__(self, is_output: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_output = is_output

    def input_hint(self) -> Any:
        return self.labeled(Annotated[bytes, types.File(accept=self.accept)])

    def output_hint(self) -> Any:
        return self.labeled(Annotated[types.File | None, types.File()])

    def shown(self, value: Any) -> Any:
        if isinstance(value, bytes | bytearray):
            return types.File(bytes(value), self.filename)
        # Files that are open, such as temporary ones, have their path as ``name``.
        path = getattr(value, "name", value) if hasattr(value, "read") else value
        return Path(path) if isinstance(path, str) else path


class CSVFile(File):
    """A CSV file."""

    accept = (".csv", "text/csv")
    filename = "result.csv"


class TimeSeriesCSVFile(CSVFile):
    """A CSV file with a column of times, shown as a plot.

    The input is a ``pandas.DataFrame``.

    Parameters
    ----------
    time : str
        Column of times.
    values : str or sequence of str
        Columns to plot.
    name, description : str
        As in ``BaseType``.
    """

    def __init__(self, time: str, values: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.time = time
        self.values = values

    def input_hint(self) -> Any:
        import pandas as pd

        values = [self.values] if isinstance(self.values, str) else list(self.values)
        return self.labeled(Annotated[pd.DataFrame, types.Table([self.time, *values])])

    def output_hint(self) -> Any:
        import pandas as pd

        return self.labeled(
            Annotated[pd.DataFrame | None, types.TimeSeries(self.time, self.values)]
        )

    def shown(self, value: Any) -> Any:
        if value is None:
            return None
        return types.TimeSeries(self.time, self.values).decode(
            value if is_a(type(value), "pandas.DataFrame") else super().shown(value), None
        )


class ImageFile(File):
    """An image: an array of red, green and blue as an input; an array or a path as a result."""

    marker: Any = types.Image

    def input_hint(self) -> Any:
        import numpy as np

        return self.labeled(Annotated[np.ndarray, self.marker(mode="RGB")])

    def output_hint(self) -> Any:
        import numpy as np

        return self.labeled(Annotated[np.ndarray | None, types.Image()])

    def shown(self, value: Any) -> Any:
        return as_picture(value)


class Webcam(BaseType):
    """An image that is taken with the camera, or uploaded."""

    def input_hint(self) -> Any:
        import numpy as np

        return self.labeled(Annotated[np.ndarray, types.Webcam(mode="RGB")])

    def output_hint(self) -> Any:
        return ImageFile(name=self.name, description=self.description).output_hint()

    def shown(self, value: Any) -> Any:
        return as_picture(value)


class Plot(BaseType):
    """A figure of matplotlib or plotly as a result; a picture as an input."""

    default = None

    def input_hint(self) -> Any:
        import numpy as np

        return self.labeled(Annotated[np.ndarray | None, types.Image(mode="RGB")])

    def output_hint(self) -> Any:
        return self.labeled(Annotated[Any, Figure()])


class Figure(types.Plot):
    """A figure, or a picture in the place of one."""

    natives: ClassVar[tuple[str, ...]] = ()

    def _plain(self, value: Any) -> types.Type | None:
        is_figure = is_a(type(value), *types.Plot.natives)
        return None if value is None or is_figure else types.Image()

    def decode(self, value: Any, source: Any) -> Any:
        return value

    def encode(self, value: Any) -> Any:
        if value is None:
            return None
        picture = self._plain(value)
        return super().encode(value) if picture is None else picture.encode(value)

    def offers(self, value: Any) -> tuple[str, ...]:
        picture = self._plain(value)
        return super().offers(value) if picture is None else picture.offers(value)

    def write(self, value: Any, media_type: str) -> Any:
        picture = self._plain(value)
        if picture is None:
            return super().write(value, media_type)
        return picture.write(value, media_type)

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        picture = self._plain(value)
        return super().parts(value, title) if picture is None else picture.parts(value, title)


def is_whole(dtype: type) -> bool:
    """Return whether a number's class has whole numbers only."""
    return issubclass(dtype, int) or is_a(dtype, "numpy.integer")


def as_picture(value: Any) -> Any:
    """Return an image of a result: paths are opened, numbers from 0 to 1 are shades."""
    if isinstance(value, str):
        return Path(value)
    if is_a(type(value), "numpy.ndarray") and value.dtype.kind == "f":
        scaled = value * 255 if value.size and value.max() <= 1 else value
        return scaled.clip(0, 255).astype("uint8")
    return value
