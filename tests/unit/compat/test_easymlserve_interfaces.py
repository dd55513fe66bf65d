"""User interfaces written for EasyMLServe: their types, functions and services."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from matplotlib.figure import Figure
from pydantic import BaseModel

from easymlnb.compat.easymlserve import (
    EasyMLServer,
    EasyMLService,
    GradioEasyMLUI,
    QtEasyMLUI,
    registration,
)
from easymlnb.compat.easymlserve.ui import BaseEasyMLUI
from easymlnb.compat.easymlserve.ui.type import (
    BaseType,
    CSVFile,
    File,
    ImageFile,
    MultipleChoice,
    Number,
    Plot,
    Range,
    SingleChoice,
    Text,
    TextLong,
    TimeSeriesCSVFile,
    Webcam,
)
from easymlnb.contract.errors import CallerError, DefinitionError, EasyMLNBError
from easymlnb.services import presentation
from easymlnb.services.definition import SERVICES

EVERY: dict[str, BaseType] = {
    "text": Text(name="A text", description="Help"),
    "long": TextLong(),
    "number": Number(),
    "amount": Number(dtype=float, precision=1),
    "range": Range(0, 100, int),
    "share": Range(0, 1),
    "single": SingleChoice(["A", "B"]),
    "multiple": MultipleChoice(["A", "B"]),
    "file": File(),
    "image": ImageFile(),
    "csv": CSVFile(),
    "series": TimeSeriesCSVFile("time", ["energy"]),
    "plot": Plot(),
    "webcam": Webcam(),
}


@pytest.fixture(autouse=True)
def nothing_deployed() -> Iterator[None]:
    before = dict(SERVICES)
    SERVICES.clear()
    yield
    SERVICES.clear()
    SERVICES.update(before)
    registration.DEPLOYED.clear()


def png(value: int = 200) -> bytes:
    target = BytesIO()
    PIL.Image.new("L", (3, 2), value).save(target, "PNG")
    return target.getvalue()


CSV = b"time,energy\n2026-01-01,1.5\n2026-01-02,2.5\n"


def run(interface: BaseEasyMLUI, **options: Any) -> Any:
    interface.run(**options)
    assert interface.function is not None
    return interface.function


def gallery(kind: type[BaseEasyMLUI] = GradioEasyMLUI) -> Any:
    return run(kind(name="UI Gallery", input_schema=EVERY, output_schema=EVERY.values()))


@pytest.mark.parametrize("kind", [BaseEasyMLUI, GradioEasyMLUI, QtEasyMLUI])
def test_every_type_is_an_input_and_an_output(kind: type[BaseEasyMLUI]) -> None:
    service = gallery(kind).service
    inputs, outputs = service.spec.input["properties"], service.spec.output["properties"]
    assert service.spec.name == "ui_gallery"
    assert service.spec.title == "UI Gallery"
    assert list(inputs) == list(EVERY)
    assert len(outputs) == len(EVERY)
    widgets = {name: node.get("x-easymlnb", {}).get("widget") for name, node in inputs.items()}
    assert widgets["long"] == "longtext"
    assert widgets["range"] == widgets["share"] == "slider"
    assert (widgets["single"], widgets["multiple"]) == ("choice", "choices")
    assert (widgets["file"], widgets["image"], widgets["webcam"]) == ("file", "image", "webcam")
    assert (inputs["text"]["title"], inputs["text"]["description"]) == ("A text", "Help")
    assert inputs["range"] | {"minimum": 0, "maximum": 100, "type": "integer"} == inputs["range"]
    assert sorted(service.spec.input["required"]) == [
        "amount", "csv", "file", "image", "number", "series", "single", "webcam",
    ]  # fmt: skip


def test_values_and_results_have_the_types_of_gradio() -> None:
    service = gallery().service
    values = service.schema.load(
        {
            "number": 3,
            "amount": 1.26,
            "single": "A",
            "file": b"abc",
            "image": png(),
            "csv": CSV,
            "series": CSV,
            "webcam": png(),
            "plot": png(),
        }
    )
    assert values["file"] == b"abc"
    assert values["image"].shape == (2, 3, 3)  # three colors, also of a gray picture
    assert list(values["series"].columns) == ["time", "energy"]
    assert (values["range"], values["share"], values["multiple"]) == (0, 0.0, [])
    found = service.function(**values)
    assert (found["Number"], found["Number 2"], found["Range"]) == (3, 1.3, 0)
    assert found["SingleChoice"] == "A"
    assert found["File"].data == b"abc"
    assert found["CSVFile"].name == "result.csv"
    assert isinstance(found["TimeSeriesCSVFile"].index, pd.DatetimeIndex)
    shown = [part["kind"] for part in presentation.to_parts(found, service.schema)]
    assert shown.count("image") == 3
    assert "plotly" in shown  # the time series
    assert shown.count("file") == 2
    assert service.schema.dump(found)


def test_empty_results() -> None:
    class Empty(GradioEasyMLUI):
        def prepare_request(self) -> Any:
            return {}

        def process_response(self, request: Any, response: Any) -> Any:
            return [None] * len(EVERY)

        def call_process_api(self, request: Any) -> Any:
            return {}

    service = run(Empty(name="", input_schema={}, output_schema=EVERY.values())).service
    assert service.name == "empty"
    found = service.function()
    assert set(found.values()) == {None}
    assert service.schema.dump(found)
    assert presentation.to_parts(found, service.schema)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Text(), 3, "3"),
        (Number(), np.float64(2.6), 3),
        (Number(dtype=float), np.float32(1.239), 1.24),
        (Number(dtype=np.int64), 3.0, 3),
        (Range(0, 1), 0.123456, 0.123456),
        (MultipleChoice(["A"]), "A", ["A"]),
        (MultipleChoice(["A"]), ("A", "B"), ["A", "B"]),
    ],
)
def test_results_are_converted(kind: BaseType, value: Any, expected: Any) -> None:
    assert kind.shown(value) == expected


def test_paths_are_downloads(tmp_path: Path) -> None:
    path = tmp_path / "output.json"
    path.write_text("{}")

    class Download(GradioEasyMLUI):
        def prepare_request(self, text: str = "x") -> Any:
            return {}

        def call_process_api(self, request: Any) -> Any:
            return {}

        def process_response(self, request: Any, response: Any) -> Any:
            return Figure(), str(path)

    schema = {"text": Text()}
    download = run(Download(name="D", input_schema=schema, output_schema=[Plot(name="P"), File()]))
    values = download.service.schema.load({})
    assert values == {"text": "x"}  # the default of prepare_request
    parts = presentation.to_parts(download(**values), download.service.schema)
    assert [(part["kind"], part["title"]) for part in parts] == [("image", "P"), ("file", "File")]
    assert parts[1]["name"] == "output.json"
    with path.open() as file:
        assert File().shown(file) == path


def test_float_pictures() -> None:
    assert ImageFile().shown(np.array([[0.0, 1.0]])).tolist() == [[0, 255]]
    assert Webcam().shown(np.array([[0.0, 300.0]])).tolist() == [[0, 255]]


class Request(BaseModel):
    n: int
    word: str = "x"


class Repeat(EasyMLService):
    def process(self, request: Request) -> dict[str, Any]:
        if request.n > 9:
            error = RuntimeError()
            error.status_code, error.detail = 404, "too many"  # type: ignore[attr-defined]
            raise error
        return {"text": request.word * request.n, "n": request.n}


class RepeatUI(GradioEasyMLUI):
    def prepare_request(self, n: int) -> Any:
        return {"n": float(n), "word": "ab", "unknown": np.int64(1)}

    def process_response(self, request: Any, response: Any) -> Any:
        return response["text"]


def test_an_interface_calls_its_service() -> None:
    EasyMLServer(Repeat()).deploy()
    interface = RepeatUI(name="R", input_schema={"n": Number()}, output_schema=Text())
    assert interface.clicked(2) == "abab"
    assert interface.clicked(n=3) == "ababab"
    assert run(interface)(n=2) == "abab"
    with pytest.raises(CallerError, match="too many"):
        interface.clicked(10)


def test_an_interface_finds_its_service_by_the_port() -> None:
    class Other(EasyMLService):
        def process(self, n: int) -> dict[str, str]:
            return {"text": "other"}

    EasyMLServer(Repeat(), uvicorn_args={"port": 8100}).deploy()
    EasyMLServer(Other(), uvicorn_args={"port": 8200}).deploy()
    options: Any = {"name": "R", "input_schema": {"n": Number()}, "output_schema": Text()}
    assert RepeatUI(rest_api_port=8100, **options).clicked(1) == "ab"
    assert RepeatUI(rest_api_port=8200, **options).clicked(1) == "other"
    assert RepeatUI(rest_api_port=8300, **options).clicked(1) == "other"
    assert RepeatUI(service="repeat", **options).clicked(1) == "ab"


def test_without_a_service() -> None:
    interface = RepeatUI(name="R", input_schema={"n": Number()}, output_schema=Text())
    with pytest.raises(EasyMLNBError, match="Deploy one before"):
        interface.clicked(1)


def test_values_go_to_the_service_and_back_without_methods() -> None:
    class Plain(GradioEasyMLUI):
        pass

    EasyMLServer(Repeat()).deploy()
    interface = Plain(
        name="P",
        input_schema={"n": Number(), "word": Text()},
        output_schema=[Text(name="text"), Number(name="n")],
    )
    assert interface.clicked(2, "ab") == ["abab", 2]
    single = Plain(name="P", input_schema={"n": Number()}, output_schema=Text(name="text"))
    assert single.clicked(2) == "xx"


def test_wrong_number_of_results() -> None:
    class Three(RepeatUI):
        def call_process_api(self, request: Any) -> Any:
            return {"text": (1, 2, 3)}

    three = run(Three(name="T", input_schema={"n": Number()}, output_schema=[Text(), Text()]))
    with pytest.raises(ValueError, match="3 results for 2 outputs"):
        three(n=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Range(5, 1), "less than its maximum"),
        (lambda: SingleChoice([]), "at least one"),
        (
            lambda: BaseEasyMLUI("x", {"a": int}, []),  # type: ignore[dict-item]
            "must be UI types",
        ),
        (lambda: run(BaseEasyMLUI("x", {"a b": Text()}, [])), "'a b'"),
        (lambda: run(BaseEasyMLUI("x", {"a": BaseType()}, [])), "cannot be an input"),
        (lambda: run(BaseEasyMLUI("x", {}, [BaseType()])), "cannot be an output"),
        (lambda: run(BaseEasyMLUI("x", {}, []), timeot=1), "Did you mean 'timeout'"),
    ],
)
def test_mistakes_are_told(make: Any, message: str) -> None:
    with pytest.raises((DefinitionError, ValueError), match=message):
        make()


def test_a_type_of_ones_own() -> None:
    class Shout(Text):
        def shown(self, value: Any) -> Any:
            return value.upper()

    found = run(BaseEasyMLUI("x", {"text": Shout()}, Shout(name="text")))
    assert found(text="a") == "A"
