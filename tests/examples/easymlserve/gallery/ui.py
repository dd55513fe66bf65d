from easymlserve.ui import GradioEasyMLUI
from easymlserve.ui.type import *


class GalleryUI(GradioEasyMLUI):
    """Every type as an input, and as an output with the same value."""


if __name__ == "__main__":
    input_schema = {
        "short_text": Text(name="ShortText", description="One line"),
        "long_text": TextLong(name="LongText"),
        "number": Number(name="Number"),
        "amount": Number(name="Amount", dtype=float, precision=1),
        "range": Range(0, 100, int, name="RangeSlider"),
        "share": Range(0, 1, name="Share"),
        "single_choice": SingleChoice(["A", "B", "C"], name="SingleChoice"),
        "multiple_choice": MultipleChoice(["A", "B", "C"], name="MultipleChoice"),
        "file": File(name="File"),
        "image_file": ImageFile(name="ImageFile"),
        "csv_file": CSVFile(name="CSVFile"),
        "series": TimeSeriesCSVFile("time", ["energy"], name="TimeSeries"),
        "plot": Plot(name="Plot"),
        "webcam": Webcam(name="Webcam"),
    }
    app = GalleryUI(
        name="UI Gallery",
        input_schema=input_schema,
        output_schema=input_schema.values(),
        gradio_interface_args={"allow_flagging": False},
        gradio_launch_args={"server_name": "0.0.0.0", "server_port": 8080},
        rest_api_port=8000,
    )
    app.run()
