"""DEEPaaS modules as services of this process: arguments, responses, schemas, the command."""

import base64
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message as Headers
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from easymlnb.compat import deepaas
from easymlnb.compat.deepaas.command import main
from easymlnb.compat.deepaas.files import UploadedFile
from easymlnb.compat.deepaas.module import http_status
from easymlnb.contract.deepaas import MEDIA_TYPE, DeepaasRequest
from easymlnb.contract.errors import BadRequest, CallerError, DefinitionError
from easymlnb.contract.worker_protocol import Call, Failure, Message, Result
from easymlnb.runtime.call_execution import run_call
from easymlnb.services.definition import SERVICES
from easymlnb.types.file import File
from support import deepaas_module

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 20
BOUNDARY = "b0undary"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The module in this process, which has no package ``deepaas``."""
    folder = deepaas_module.install(tmp_path_factory.mktemp("site"))
    before, known = set(sys.modules), set(SERVICES)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("deepaas", "deep_demo"):
            del sys.modules[name]
    for name in set(SERVICES) - known:
        del SERVICES[name]


@pytest.fixture(scope="module")
def demo(installed: None) -> deepaas.DeepaasServices:
    return deepaas.serve("deep-demo", examples=[])


@pytest.fixture(scope="module")
def small(installed: None) -> deepaas.DeepaasServices:
    return deepaas.serve("deep_small", name="tiny")


def form(**parts: Any) -> tuple[str, bytes]:
    """Return the media type and the body of a form; files are ``(name, data, media type)``."""
    lines = b""
    for name, value in parts.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
        data = value
        if isinstance(value, tuple):
            filename, data, kind = value
            head += f'; filename="{filename}"\r\nContent-Type: {kind}'
        data = data.encode() if isinstance(data, str) else data
        lines += head.encode() + b"\r\n\r\n" + data + b"\r\n"
    return f"multipart/form-data; boundary={BOUNDARY}", lines + f"--{BOUNDARY}--\r\n".encode()


IMAGE = {"demo-image": ("cell.png", PNG, "image/png")}


def send(
    service: Any,
    query: dict[str, Any] | str = "",
    body: tuple[str, bytes] = ("", b""),
    accept: str = "",
    check: bool = False,
) -> tuple[Result | Failure, bytes]:
    """Send a request as the server forwards it."""
    text = query if isinstance(query, str) else urlencode(query, doseq=True)
    request = DeepaasRequest(query=text, content_type=body[0], accept=accept, check=check)
    call = Call(
        id=1,
        service=service.service.name,
        content_type=request.media_type(),
        accept=MEDIA_TYPE,
        seconds=9.0,
    )
    events: list[Message] = []
    return run_call(service.service, call, body[1], lambda message, _: events.append(message))


def answer(*args: Any, **options: Any) -> Any:
    """Send a request; return the JSON of its response."""
    ended, body = send(*args, **options)
    assert isinstance(ended, Result), ended
    assert ended.content_type == "application/json"
    return json.loads(body)


def messages(*args: Any, **options: Any) -> Any:
    """Send a request that is refused; return the messages by argument."""
    ended, _ = send(*args, **options)
    assert isinstance(ended, Failure) and ended.code == "invalid_input", ended
    return ended.details


# arguments


def test_arguments_come_from_query_form_and_defaults(demo: deepaas.DeepaasServices) -> None:
    body = form(**IMAGE, **{"demo-int": "7", "demo-bool": "off"})
    found = answer(demo.predict, {"demo-float": "2.5", "unknown": "1", "class": 4}, body)
    assert found["status"] == "OK"
    values = found["predictions"]
    assert values["demo-int"] == 7 and values["demo-float"] == 2.5 and values["class"] == 4
    assert values["demo-bool"] is False and values["demo-str"] == "some-string"
    assert values["demo-list-of-floats"] == [0.1, 0.2, 0.3]
    assert values["demo-dict"] == {"a": 0, "b": 1}
    assert base64.b64decode(values["demo-image"]) == PNG
    assert "unknown" not in values and values["accept"] == "application/json"


def test_lists_and_nested_fields_in_their_forms(demo: deepaas.DeepaasServices) -> None:
    query = {
        "demo-list-of-floats": [1, 2],
        "demo-names": "a,b",
        "demo-nested": '{"x": 3, "y": "z"}',
        "demo-date": "2026-02-03",
    }
    values = answer(demo.predict, query, form(**IMAGE))["predictions"]
    assert values["demo-list-of-floats"] == [1.0, 2.0]
    assert values["demo-names"] == ["a", "b"]
    assert values["demo-nested"] == {"x": 3, "y": "z"}
    assert values["demo-date"] == "2026-02-03"
    one = answer(demo.predict, {"demo-list-of-floats": "[4, 5]"}, form(**IMAGE))["predictions"]
    assert one["demo-list-of-floats"] == [4.0, 5.0]


def test_messages_are_marshmallows(demo: deepaas.DeepaasServices) -> None:
    assert messages(demo.predict) == {"demo-image": ["Missing data for required field."]}
    query = {"demo-int": "x", "demo-int-range": "101", "demo-nested": '{"x": -1}'}
    assert messages(demo.predict, query, form(**IMAGE)) == {
        "demo-int": ["Not a valid integer."],
        "demo-int-range": ["Must be greater than or equal to 1 and less than or equal to 100."],
        "demo-nested": {"x": ["Must be greater than or equal to 0."]},
    }


def test_json_bodies(small: deepaas.DeepaasServices) -> None:
    body = ("application/json", b'{"x": "0.5"}')
    assert answer(small.predict, "", body)["labels"] == [{"label": "x", "probability": 0.5}]
    assert messages(small.predict, "", ("application/json", b"[1]")) == {
        "x": ["Missing data for required field."]
    }
    ended, _ = send(small.predict, "", ("application/json", b"{"))
    assert isinstance(ended, Failure) and ended.code == "bad_request"
    assert ended.details == {"json": ["Invalid JSON body."]}


def test_form_without_files_and_a_documented_choice_that_is_not_enforced(
    small: deepaas.DeepaasServices,
) -> None:
    body = ("application/x-www-form-urlencoded", b"x=1&how=other")
    assert answer(small.predict, "", body)["labels"][0]["probability"] == 1.0


def test_a_text_is_accepted_for_a_file(demo: deepaas.DeepaasServices) -> None:
    ended, body = send(demo.predict, {"demo-image": "a text"}, accept="text/plain")
    assert isinstance(ended, Result) and body == b"a text"


def test_a_forged_media_type_is_refused(demo: deepaas.DeepaasServices) -> None:
    for text in ("", "; request=", "; request=%%%", "; request=eyJxdWVyeSI6IDF9"):
        with pytest.raises(BadRequest, match="is invalid"):
            DeepaasRequest.from_media_type(MEDIA_TYPE + text)


# responses


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("", "", "application/json"),
        ("", "*/*", "application/json"),
        ("accept=*/*", "image/png", "application/json"),
        ("accept=application/zip", "", "application/zip"),
        ("", "application/zip", "application/zip"),
        ("accept=image/*", "application/json", "image/png"),
        ("", "image/png", "image/png"),
        ("", "text/html, text/plain;q=0.9, */*;q=0.1", "text/plain"),
        ("", "video/mp4", "application/json"),
    ],
)
def test_media_type_of_the_response(
    demo: deepaas.DeepaasServices, query: str, accept: str, media_type: str
) -> None:
    ended, body = send(demo.predict, query, form(**IMAGE), accept)
    assert isinstance(ended, Result) and ended.content_type == media_type
    if media_type == "image/png":
        assert body == PNG[::-1]
    elif media_type == "application/zip":
        with zipfile.ZipFile(io.BytesIO(body)) as found:
            values, image = json.loads(found.read("args.json"))
        assert values["accept"] == "application/zip"
        # Files are named tuples, which JSON writes as lists.
        assert image[0] == "demo-image" and image[2:] == ["image/png", "cell.png"]


def test_an_unknown_choice_of_the_query_is_refused(demo: deepaas.DeepaasServices) -> None:
    told = messages(demo.predict, "accept=video/mp4", form(**IMAGE))
    assert told["accept"][0].startswith("Must be one of: application/json")


def test_a_prediction_is_checked_by_the_modules_schema(small: deepaas.DeepaasServices) -> None:
    ended, _ = send(small.predict, "x=1&how=bad")
    assert isinstance(ended, Failure) and ended.code == "result_not_encodable"
    assert "does not match the module's schema" in ended.message


def test_errors_of_http_clients_are_not_for_callers() -> None:
    error = HTTPError("http://store/?key=secret", 403, "Forbidden", Headers(), None)
    assert error.status == 403 and http_status(error) is None


@pytest.mark.parametrize(
    ("text", "code", "details"),
    [
        ("status", "caller_error", {"status": 400}),
        ("todo", "caller_error", {"status": 501}),
        ("bug", "call_failed", None),
    ],
)
def test_exceptions_keep_their_status(
    demo: deepaas.DeepaasServices, text: str, code: str, details: Any
) -> None:
    ended, _ = send(demo.predict, {"demo-str": text}, form(**IMAGE))
    assert isinstance(ended, Failure) and (ended.code, ended.details) == (code, details)
    assert "secret" not in ended.message
    if text == "status":
        assert ended.message == "Choose another text."


def test_checked_arguments_of_a_training(demo: deepaas.DeepaasServices) -> None:
    body = form(data=("d.csv", b"1,2", "text/csv"))
    assert answer(demo.train, "epoch_num=3", body, check=True) == {
        "epoch_num": 3,
        "data": ["data", "text/csv", "d.csv"],
        "gate": "",
    }
    assert messages(demo.train, "epoch_num=-1", check=True)["epoch_num"]
    assert answer(demo.train, "epoch_num=3", body)["size"] == 3


# services of our own


def test_the_schema_and_the_form_come_from_the_fields(demo: deepaas.DeepaasServices) -> None:
    assert demo.predict is not None
    found = demo.predict.service.spec.input
    properties = found["properties"]
    assert found["required"] == ["demo_image"]
    assert properties["demo_str"]["title"] == "demo-str"
    assert properties["demo_str"]["description"] == "A text"
    assert properties["demo_str_choice"]["enum"] == ["choice1", "choice2"]
    assert properties["demo_int_range"]["minimum"] == 1
    assert properties["demo_int_range"]["maximum"] == 100
    assert properties["demo_int_range"]["default"] == 50
    assert properties["demo_list_of_floats"]["items"]["type"] == "number"
    assert properties["class_"]["title"] == "class"
    assert properties["demo_image"]["x-easymlnb"]["widget"] == "image"
    audio = json.dumps(properties["demo_audio"])
    assert '"widget": "audio"' in audio
    assert properties["accept"]["enum"][0] == "application/json"


def test_the_spec_describes_the_model(
    demo: deepaas.DeepaasServices, small: deepaas.DeepaasServices
) -> None:
    assert demo.predict is not None and demo.train is not None
    spec = demo.predict.service.spec
    assert (spec.name, spec.author, spec.license) == ("deep_demo", "Ada Lovelace", "MIT")
    assert spec.description == "Echoes its arguments."
    assert spec.deepaas == demo.train.service.spec.deepaas and spec.deepaas is not None
    assert demo.train.service.spec.on_timeout == "job"
    assert spec.deepaas.metadata["version"] == "0.3.1"
    assert spec.deepaas.predict is not None and spec.deepaas.train is not None
    assert spec.deepaas.train.service == "deep_demo_train"
    assert spec.deepaas.predict.produces[2] == "image/*"
    assert type(spec).from_dict(spec.to_dict()) == spec
    assert small.train is None and small.predict is not None
    tiny = small.predict.service.spec.deepaas
    assert tiny is not None and tiny.missing == ("train",) and tiny.response["labels"]["items"]
    assert tiny.metadata["description"].startswith("Could not load description")
    assert small.predict.service.spec.description == ""


def test_services_are_functions(
    demo: deepaas.DeepaasServices, small: deepaas.DeepaasServices, tmp_path: Path
) -> None:
    assert demo.predict is not None and demo.train is not None and small.predict is not None
    assert small.predict(x=0.25)["labels"][0]["probability"] == 0.25
    assert demo.train(epoch_num=2) == {"status": "done", "epochs": 2, "size": 0}
    (tmp_path / "a.png").write_bytes(PNG)
    for image in (
        PNG,
        File(PNG, "a.png"),
        tmp_path / "a.png",
        UploadedFile("f", str(tmp_path / "a.png")),
    ):
        found = demo.predict(demo_image=image, demo_nested={"x": 1})
        assert base64.b64decode(found["demo-image"]) == PNG
        assert found["demo-nested"] == {"x": 1}
    picture = demo.predict(demo_image=File(PNG, "a.png"), accept="image/*")
    assert isinstance(picture, File) and picture.media_type == "image/png"
    with pytest.raises(CallerError, match="demo_int_range: Must be greater") as refused:
        demo.predict(demo_image=PNG, demo_int_range=101)
    assert refused.value.details[0]["field"] == "demo_int_range"


def test_calls_of_our_own_routes(demo: deepaas.DeepaasServices) -> None:
    assert demo.predict is not None
    body = {"demo_image": base64.b64encode(PNG).decode(), "demo_date": "2026-02-03", "class_": 2}
    call = Call(id=1, service="deep_demo", content_type="application/json", seconds=9.0)
    ended, data = run_call(
        demo.predict.service, call, json.dumps(body).encode(), lambda message, _: None
    )
    assert isinstance(ended, Result), ended
    found = json.loads(data)
    assert found["demo-date"] == "2026-02-03" and found["class"] == 2


def test_pictures_of_a_prediction_are_shown(small: deepaas.DeepaasServices) -> None:
    assert small.predict is not None
    view = small.predict.service.view_function
    assert view is not None
    shown = view(result=small.predict(x=1.0))
    assert isinstance(shown["picture"], File) and shown["picture"].media_type == "image/png"


def test_what_cannot_be_served_is_a_sentence(installed: None) -> None:
    with pytest.raises(DefinitionError, match=r"no entry point 'none' .* 'deep-demo'"):
        deepaas.serve("none")
    with pytest.raises(DefinitionError, match="are both 'a_b'"):
        deepaas.serve("deep_clash")
    with pytest.raises(DefinitionError, match="timout"):
        deepaas.serve("deep-demo", timout=3)
    with pytest.raises(DefinitionError, match="no method"):
        deepaas.serve("deep_small", predict=False)
    served = deepaas.serve("deep-demo", name="quiet", train=False)
    assert served.train is None and served.predict is not None
    spec = served.predict.service.spec.deepaas
    assert spec is not None and spec.train is None and spec.missing == ()


def test_warm_ran_once_for_each_serve(demo: deepaas.DeepaasServices) -> None:
    assert sys.modules["deep_demo.api"].WARMED


# the command


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    status = main([*argv, "--nodeepaas_with_multiprocessing"] if argv[0][:2] == "--" else argv)
    return status, capsys.readouterr().err


def test_the_command_predicts_into_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    general = ("--nodeepaas_with_multiprocessing", "--model-name", "deep-demo")
    out = f"--deepaas_method_output={tmp_path}/out"
    predict = ("predict", "--demo-image", f"{tmp_path}/a.png")
    assert main([*general, out, *predict, "--demo-list-of-floats", "[1, 2.5]"]) == 0
    told = capsys.readouterr().err
    assert f"New output is {tmp_path}/out.json" in told
    values = json.loads((tmp_path / "out.json").read_text())
    assert values["demo-list-of-floats"] == [1.0, 2.5] and values["demo-int"] == 1
    assert main([*general, out, *predict, "--accept", "application/zip"]) == 0
    assert zipfile.is_zipfile(tmp_path / "out.zip")
    assert main([*general, out, *predict, "--demo-int-range", "0"]) == 1
    assert "--demo-int-range: ['Must be greater" in capsys.readouterr().err


def test_the_command_trains_and_describes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    general = ("--nodeepaas_with_multiprocessing", f"--deepaas_method_output={tmp_path}/out.json")
    assert main([*general, "get_metadata"]) == 1
    assert "several models" in capsys.readouterr().err
    monkeypatch.setenv("DEEPAAS_V2_MODEL", "deep-demo")
    assert main([*general, "train", "--epoch_num", "2"]) == 0
    trained = json.loads((tmp_path / "out.json").read_text())
    assert trained["status"] == "done" and trained["args"]["epoch_num"] == 2
    assert trained["result"]["output"]["epochs"] == 2
    assert main([*general, "get_metadata"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["version"] == "0.3.1"
    assert main([*general, "warm"]) == 0
    for argv in (["--version"], ["predict", "--help"]):
        with pytest.raises(SystemExit) as left:
            main(argv)
        assert left.value.code == 0
    assert "2.6.0" in capsys.readouterr().out
