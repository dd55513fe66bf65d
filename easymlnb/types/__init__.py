"""Types for hints, one family per module. All are imported, so that their classes are known."""

from easymlnb.types.array import Array as Array
from easymlnb.types.base import Hint as Hint
from easymlnb.types.base import Type as Type
from easymlnb.types.base import Upload as Upload
from easymlnb.types.choices import Choice as Choice
from easymlnb.types.choices import MultipleChoice as MultipleChoice
from easymlnb.types.file import Audio as Audio
from easymlnb.types.file import File as File
from easymlnb.types.image import Image as Image
from easymlnb.types.image import Webcam as Webcam
from easymlnb.types.markup import HTML as HTML
from easymlnb.types.markup import Markdown as Markdown
from easymlnb.types.numbers import Interval as Interval
from easymlnb.types.numbers import Number as Number
from easymlnb.types.numbers import Slider as Slider
from easymlnb.types.plot import Plot as Plot
from easymlnb.types.table import Table as Table
from easymlnb.types.text import Color as Color
from easymlnb.types.text import LongText as LongText
from easymlnb.types.text import Secret as Secret
from easymlnb.types.text import Text as Text
from easymlnb.types.timeseries import TimeSeries as TimeSeries
