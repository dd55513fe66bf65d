"""Services written for EasyMLServe: their functions, names and errors."""

import asyncio
import json
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import httpx
import pytest
from fastapi import Body, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field, field_validator

from easymlnb.compat import easymlserve
from easymlnb.compat.easymlserve import EasyMLServer, EasyMLService, registration
from easymlnb.contract.errors import CallerError, DefinitionError, EasyMLNBError, InvalidInput
from easymlnb.contract.spec import LENIENT_JSON
from easymlnb.publishing import publish
from easymlnb.publishing.bundle.environment import imported_packages
from easymlnb.publishing.bundle.static_analysis import read_module
from easymlnb.services import codec
from easymlnb.services.definition import SERVICES


@pytest.fixture(autouse=True)
def nothing_deployed() -> Iterator[None]:
    before = dict(SERVICES)
    SERVICES.clear()
    yield
    SERVICES.clear()
    SERVICES.update(before)
    registration.DEPLOYED.clear()


class Point(BaseModel):
    x: int
    y: float = 2.5


class Request(BaseModel):
    bins: int = Field(ge=1, description="How many.")
    ratio: float = 0.5
    name: str | None = None
    point: Point | None = None
    tags: list[str] = Field(default_factory=list)
    renamed: int = Field(1, alias="other")


class Answer(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    bins: int
    ratio: float
    shape: list[int] = []
    size: int = Field(0, alias="total size")


class Echo(EasyMLService):
    """The class."""

    def process(self, request: Request) -> Answer:
        """Return some of the request."""
        return {"bins": request.bins, "ratio": request.ratio, "shape": (1, 2), "extra": 1}  # type: ignore[return-value]


async def ask_fastapi(service: EasyMLService, body: Any) -> httpx.Response:
    """Return what EasyMLServe's own server answers."""
    app = FastAPI()
    app.add_api_route("/process", service.process, methods=["POST"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://peer") as client:
        return await client.post("/process", json=body)


def deploy(kind: type[EasyMLService], *args: Any, **options: Any) -> Any:
    server = EasyMLServer(kind(*args))
    server.deploy(**options)
    return server.function


def test_fields_of_the_model_are_parameters() -> None:
    echo = deploy(Echo)
    schema = echo.service.spec.input
    assert echo.service.name == "echo"
    assert echo.service.spec.description == "Return some of the request."
    assert list(schema["properties"]) == ["bins", "ratio", "name", "point", "tags", "other"]
    assert schema["required"] == ["bins"]
    assert schema["properties"]["bins"]["minimum"] == 1
    assert schema["properties"]["bins"]["description"] == "How many."
    assert schema["properties"]["ratio"]["default"] == 0.5
    assert "default" not in schema["properties"]["tags"]  # the model makes a new list for each call


def test_result_is_validated_into_the_answer() -> None:
    answer = deploy(Echo)(bins=3)
    assert answer == Answer(bins=3, ratio=0.5, shape=[1, 2])


def test_request_is_the_model() -> None:
    seen: list[Request] = []

    class Keep(EasyMLService):
        def process(self, request: Request) -> None:
            seen.append(request)

    schema = deploy(Keep).service.schema
    values = schema.load_leniently(b'{"bins": "3", "point": {"x": 1, "z": 2}, "other": 7}')
    SERVICES["keep"].function(**values)
    assert seen == [Request(bins=3, point=Point(x=1), other=7)]
    assert seen[0].tags == []
    assert seen[0].model_fields_set >= {"bins", "point", "renamed"}


@pytest.mark.parametrize(
    "body",
    [
        {"bins": 4},
        {"bins": 4.0},
        {"bins": "4"},
        {"bins": True},
        {"bins": 1, "ratio": "1.5"},
        {"bins": 1, "unknown": [1]},
        {"bins": 1, "point": {"x": "1", "unknown": 2}},
        {"bins": 1, "name": None},
        {"bins": 4.5},
        {"bins": None},
        {"bins": "four"},
        {"bins": 0},
        {},
        {"bins": 1, "point": {"y": 1}},
        {"bins": 1, "tags": "ab"},
        {"bins": [1]},
        [1],
        "text",
    ],
)
def test_reads_as_fastapi_does(body: Any) -> None:
    theirs = asyncio.run(ask_fastapi(Echo(), body))
    schema = deploy(Echo).service.schema
    try:
        values = codec.decode_request(schema, LENIENT_JSON, json.dumps(body).encode())
    except InvalidInput as error:
        assert theirs.status_code == 422
        told = theirs.json()["detail"]
        found = [(one["loc"], one["type"]) for one in error.details]
        expected = [(one["loc"], one["type"]) for one in told]
        if isinstance(body, dict):
            assert found == expected
            # pydantic calls a list of JSON an array.
            texts = [one["msg"].replace("array", "list") for one in error.details]
            assert texts == [one["msg"] for one in told]
        assert [loc for loc, _ in found] == [loc for loc, _ in expected]
    else:
        assert theirs.status_code == 200
        assert json.loads(schema.dump(SERVICES["echo"].function(**values))) == theirs.json()


@pytest.mark.parametrize("body", [b"", b"{", b'{"bins": 1', b"\xff", b"[" * 1000])
def test_broken_json_is_an_entry(body: bytes) -> None:
    schema = deploy(Echo).service.schema
    with pytest.raises(InvalidInput) as caught:
        schema.load_leniently(body)
    (entry,) = caught.value.details
    assert (entry["loc"], entry["type"]) == (["body"], "json_invalid")


def test_many_errors_are_cut() -> None:
    class Sum(EasyMLService):
        def process(self, values: list[int]) -> int:
            return sum(values)

    schema = deploy(Sum).service.schema
    with pytest.raises(InvalidInput) as caught:
        schema.load_leniently(json.dumps({"values": ["x"] * 1000}).encode())
    assert len(caught.value.details) == 100


def test_plain_parameters_stay() -> None:
    class Add(EasyMLService):
        def process(self, a: int, b: int = Body(2)) -> int:
            return a + b

    class Gallery(EasyMLService):
        def process(self, df):  # type: ignore[no-untyped-def]
            return {}

    assert deploy(Add)(a=1, b=2) == 3
    assert SERVICES["add"].spec.input["required"] == ["a"]
    assert deploy(Gallery)(df=1) == {}


def test_api_call_stands_in_for_process() -> None:
    class Old(EasyMLService):
        def api_call(self, value: int) -> dict[str, int]:
            return {"twice": 2 * value}

    class Nothing(EasyMLService):
        pass

    assert deploy(Old)(value=2) == {"twice": 4}
    with pytest.raises(DefinitionError, match="values"):
        deploy(Nothing)


def test_async_method() -> None:
    class Later(EasyMLService):
        async def process(self, request: Point) -> Answer:
            return SimpleNamespace(bins=request.x, ratio=1, shape=())  # type: ignore[return-value]

    found = asyncio.run(deploy(Later)(x=1, y=1.0))
    assert found == Answer(bins=1, ratio=1.0)


def test_route_arguments() -> None:
    class Routed(EasyMLService):
        def process(self, request: Point):  # type: ignore[no-untyped-def]
            return {"bins": request.x, "ratio": 1, "extra": 1}

    route = {
        "name": "FaceDetection",
        "summary": "Faces",
        "description": "Finds *faces*.",
        "tags": ["demo"],
        "response_model": Answer,
        "status_code": 200,
    }
    spec = deploy(Routed, route).service.spec
    assert (spec.name, spec.title, spec.tags) == ("face_detection", "Faces", ("demo",))
    assert spec.description == "Finds *faces*."
    assert SERVICES["face_detection"].function(x=1, y=1.0) == Answer(bins=1, ratio=1)


def test_no_response_model() -> None:
    echo = deploy(Echo, {"response_model": None})
    assert echo(bins=1)["extra"] == 1
    assert "properties" not in echo.service.spec.output


def test_options_of_a_service() -> None:
    assert deploy(Echo, name="other", timeout=7, workers=2).service.spec.timeout == 7
    with pytest.raises(DefinitionError, match="Did you mean 'timeout'"):
        deploy(Echo, timeot=7)


@pytest.mark.parametrize(
    ("error", "details"),
    [
        (HTTPException(404, "Unknown model"), {"status_code": 404, "detail": "Unknown model"}),
        (HTTPException(409, {"a": 1}), {"status_code": 409, "detail": {"a": 1}}),
        (HTTPException(500), {"status_code": 500, "detail": "Internal Server Error"}),
    ],
)
def test_http_exceptions_are_for_callers(error: Exception, details: dict[str, Any]) -> None:
    class Refuse(EasyMLService):
        def process(self, x: int) -> int:
            raise error

    with pytest.raises(CallerError) as caught:
        deploy(Refuse)(x=1)
    assert caught.value.details == details


@pytest.mark.parametrize("error", [HTTPException(200, "fine"), ValueError("x"), KeyError("y")])
def test_other_exceptions_are_not(error: Exception) -> None:
    class Fail(EasyMLService):
        def process(self, x: int) -> int:
            raise error

    with pytest.raises(type(error)):
        deploy(Fail)(x=1)


def test_checks_of_the_whole_model() -> None:
    class Even(BaseModel):
        model_config = ConfigDict(str_strip_whitespace=True)
        n: int

        @field_validator("n")
        @classmethod
        def check(cls, n: int) -> int:
            if n % 2:
                raise ValueError("n must be even")
            return n

    class Half(EasyMLService):
        def process(self, request: Even) -> int:
            return request.n // 2

    half = deploy(Half)
    assert half(n=4) == 2
    with pytest.raises(CallerError, match="n must be even") as caught:
        half(n=3)
    assert caught.value.details["status_code"] == 422
    assert caught.value.details["detail"][0]["loc"] == ["body", "n"]


def test_alias_that_is_no_python_name() -> None:
    class Dashed(BaseModel):
        n: int = Field(alias="n-bins")
        start: Optional[int] = Field(None, alias="from")  # noqa: UP045 - as users write it

    class Count(EasyMLService):
        def process(self, request: Dashed) -> int:
            return request.n + (request.start or 0)

    assert deploy(Count)(n=4, start=1) == 5


def test_hint_that_cannot_be_evaluated() -> None:
    class Lost(EasyMLService):
        def process(self, request: "Missing") -> int:  # type: ignore[name-defined] # noqa: F821
            return 1

    with pytest.raises(DefinitionError, match="Missing"):
        deploy(Lost)


def test_only_instances_are_deployed() -> None:
    with pytest.raises(DefinitionError, match="MyService"):
        EasyMLServer(Echo)  # type: ignore[arg-type]


def test_api_keys_are_ignored_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="easymlnb keys create"):
        EasyMLServer(Echo(), api_keys=["secret"])


def test_a_clash_is_told() -> None:
    first = deploy(Echo, name="shared")

    class Other(EasyMLService):
        def process(self, x: int) -> int:
            return x

    with pytest.raises(DefinitionError, match=r"'shared' of .*Other.* already used by .*Echo"):
        deploy(Other, name="shared")
    assert SERVICES["shared"].function is first
    assert deploy(Echo, name="shared") is not first  # a cell runs again
    deploy(Echo, name="shared").remove()
    deploy(Other, name="shared")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("HistogramImageService", "histogram_image_service"),
        ("Energy Time Series Forecasting", "energy_time_series_forecasting"),
        ("HTTPService", "http_service"),
        ("CNN2Dlayers", "cnn2_dlayers"),
        ("  [px**2] ", "px_2"),
        ("2nd try", "nd_try"),
        ("Größe", "gr_e"),
        ("", ""),
        ("42", ""),
        ("a" * 80, "a" * 63),
    ],
)
def test_names(text: str, name: str) -> None:
    assert registration.as_name(text) == name


SERVICE = """
from pathlib import Path
from easymlserve import EasyMLServer, EasyMLService
from api_schema import APIRequest
from plain.net import WORD
from packed import OTHER

class SameService(EasyMLService):
    def load_model(self):
        self.word = Path("word.txt").read_text()
        assert self.word == WORD == OTHER

    def process(self, request: APIRequest) -> str:
        return self.word + request.text

if __name__ == "__main__":
    EasyMLServer(SameService()).deploy()
"""
SCHEMA = """
from pydantic import BaseModel

class APIRequest(BaseModel):
    text: str = {default!r}
"""


def test_files_run_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "service.py").write_text(SERVICE)
        (folder / "api_schema.py").write_text(SCHEMA.format(default=name))
        (folder / "word.txt").write_text(f"{name}: ")
        for kind, file, word in (("plain", "net", "WORD"), ("packed", "__init__", "OTHER")):
            (folder / kind).mkdir()
            (folder / kind / f"{file}.py").write_text(f"{word} = '{name}: '")
    modules, path = set(sys.modules), list(sys.path)
    for name in ("first", "second"):
        easymlserve.run(f"{name}/service.py")
    assert SERVICES["first"].function(text="a") == "first: a"
    assert SERVICES["second"].spec.input["properties"]["text"]["default"] == "second"
    assert Path.cwd() == tmp_path
    assert sys.path == path
    left = {"api_schema", "easymlserve", "plain", "plain.net", "packed"}
    assert not left & (sys.modules.keys() - modules)
    with pytest.raises(EasyMLNBError, match=r"third\.py"):
        easymlserve.run("third.py")


def test_a_failing_file_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "service.py").write_text("import helper_of_sub\n1 / 0")
    (tmp_path / "sub" / "helper_of_sub.py").write_text("")
    with pytest.raises(ZeroDivisionError):
        easymlserve.run("sub/service.py")
    assert Path.cwd() == tmp_path
    assert "helper_of_sub" not in sys.modules
    assert registration._running == []


def test_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("", ".server", ".service", ".ui", ".ui.type"):
        monkeypatch.delitem(sys.modules, f"easymlserve{part}", raising=False)
    easymlserve.install()
    names: dict[str, Any] = {}
    exec("from easymlserve import *\nfrom easymlserve.ui.type import *", names)
    exec("from easymlserve.ui import BaseEasyMLUI", names)
    assert names["EasyMLServer"] is EasyMLServer
    assert {"BaseType", "Range", "Webcam"} <= names.keys()
    monkeypatch.setitem(sys.modules, "easymlserve", SimpleNamespace())
    with pytest.raises(EasyMLNBError, match="imported before"):
        easymlserve.install()


def test_publishing_looks_for_the_method_in_the_notebook() -> None:
    source = "class Cell(Base):\n    def process(self, x: int) -> int:\n        return x\n"
    linecache.cache["<cell>"] = (len(source), None, source.splitlines(keepends=True), "<cell>")
    names: dict[str, Any] = {"Base": EasyMLService, "__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), names)
    function = deploy(names["Cell"], name="cell")
    assert [one.strip() for one in publish._sources(function)] == [source[18:].strip()]


def test_bundles_know_the_folder_of_a_file() -> None:
    facts = read_module(
        "from easymlnb.compat import easymlserve\neasymlserve.run('a/service.py')\n"
        "easymlserve.run('ui.py')\nother.run('b/x.py')"
    )
    assert facts.entered == {"a", "."}


def test_bundles_do_not_miss_easymlserve() -> None:
    names, missing = imported_packages({"easymlnb.compat.easymlserve.ui", "easymlserve", "nope"})
    assert (names, missing) == (set(), ["nope"])
