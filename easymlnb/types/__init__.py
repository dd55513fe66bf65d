"""Types for hints, one family per module."""

from easymlnb.types.array import Array
from easymlnb.types.base import Hint, Type, Upload
from easymlnb.types.choices import Choice, MultipleChoice
from easymlnb.types.file import Audio, File
from easymlnb.types.image import Image, Webcam
from easymlnb.types.markup import HTML, Markdown
from easymlnb.types.numbers import Interval, Number, Slider
from easymlnb.types.plot import Plot
from easymlnb.types.table import Table
from easymlnb.types.text import Color, LongText, Secret, Text
from easymlnb.types.timeseries import TimeSeries

__all__ = [
    "HTML",
    "Array",
    "Audio",
    "Choice",
    "Color",
    "File",
    "Hint",
    "Image",
    "Interval",
    "LongText",
    "Markdown",
    "MultipleChoice",
    "Number",
    "Plot",
    "Secret",
    "Slider",
    "Table",
    "Text",
    "TimeSeries",
    "Type",
    "Upload",
    "Webcam",
]
