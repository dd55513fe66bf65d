"""What DEEPaaS's clients see: texts of errors, trainings, documents."""

import ast
from math import inf
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.deepaas import DeepaasArgument, DeepaasMethod, DeepaasModel, DeepaasRequest
from easymlnb.contract.errors import (
    BadRequest,
    CallerError,
    CallFailed,
    EasyMLNBError,
    InvalidInput,
    MethodNotAllowed,
    NotLoggedIn,
    RouteNotFound,
)
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.jobs.models import Job, JobInput, JobState, new_id
from easymlnb_server.protocols.deepaas import documents, texts, trainings
from easymlnb_server.protocols.deepaas.results import read_arguments, read_output
from easymlnb_server.store.files import Files
from easymlnb_server.uploads.spool import Spool

MODEL = DeepaasModel(
    name="deep-demo",
    metadata={"description": "Echoes.", "name": "Deep Demo"},
    predict=DeepaasMethod(
        service="deep_demo",
        arguments=(
            DeepaasArgument(name="x", schema={"type": "integer", "required": True}),
            DeepaasArgument(name="file", location="formData", schema={"type": "file"}),
        ),
        produces=("application/json", "image/png"),
    ),
    missing=("train",),
)


def refused(messages: dict[str, Any]) -> EasyMLNBError:
    error = InvalidInput([])
    error.details = messages
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RouteNotFound(), (404, texts.PLAIN, "404: Not Found")),
        (MethodNotAllowed("PUT"), (405, texts.PLAIN, "405: Method Not Allowed")),
        (refused({"x": ["No."]}), (422, texts.JSON, '{"x": ["No."]}')),
        (CallerError("No.", details={"status": 418}), (418, texts.PLAIN, "418: No.")),
        (CallerError("No.", details={"status": 99}), (422, texts.PLAIN, "422: No.")),
        (CallerError("No."), (422, texts.PLAIN, "422: No.")),
        (BadRequest("Bad."), (400, texts.PLAIN, "400: Bad.")),
        (NotLoggedIn("Who?"), (401, texts.PLAIN, "401: Who?")),
    ],
)
def test_errors(error: EasyMLNBError, expected: tuple[int, str, str]) -> None:
    assert texts.of_error(error) == expected


def test_errors_of_functions_hide_their_text() -> None:
    status, _, text = texts.of_error(CallFailed("ValueError"))
    assert status == 500 and text.startswith("500: The service's function failed (ValueError)")


def test_methods_that_are_off_or_missing() -> None:
    status, text = texts.unavailable(MODEL, "train")
    assert status == 501 and text.startswith("501: Not implemented by underlying model")
    off = DeepaasModel(name="a")
    assert texts.unavailable(off, "train") == (402, "402: Payment Required")


@pytest.mark.parametrize("_", range(20))
def test_ids_of_jobs_as_uuids(_: int) -> None:
    id = new_id()
    uuid = trainings.uuid_of(id)
    assert len(uuid) == 32 and trainings.job_of(uuid) == id
    assert trainings.job_of(f"{uuid[:8]}-{uuid[8:]}") == id


@pytest.mark.parametrize("text", ["", "x" * 32, "0" * 31, "+" + "0" * 31, "0_" * 16, "٣" * 32])
def test_other_ids_are_none(text: str) -> None:
    assert trainings.job_of(text) is None


def job(state: JobState, **more: Any) -> Job:
    request = DeepaasRequest(arguments={"epochs": 3})
    return Job(
        id=new_id(),
        owner="",
        service="deep_demo_train",
        version="1",
        bundle="",
        author="",
        lane="jobs",
        input=JobInput(file=""),
        input_type=request.media_type(),
        created=1_700_000_000.25,
        state=state,
        **more,
    )


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.STARTING, JobState.RUNNING])
def test_a_training_that_runs(state: JobState) -> None:
    found = job(state)
    made = trainings.shown(found)
    assert made.pop("date")[-7:] == ".250000"
    uuid = trainings.uuid_of(found.id)
    assert made == {"args": {"epochs": 3}, "uuid": uuid, "status": "running"}


def test_trainings_that_ended() -> None:
    done = trainings.shown(job(JobState.SUCCEEDED, ended=1_700_000_061.5), {"loss": 0.5})
    assert done["status"] == "done"
    assert (
        done["result"]["output"] == {"loss": 0.5} and done["result"]["duration"] == "0:01:01.250000"
    )
    failed = trainings.shown(job(JobState.FAILED, error={"message": "Too many epochs."}, ended=2.0))
    assert (failed["status"], failed["message"]) == ("error", "Too many epochs.")
    cancelled = job(JobState.CANCELLED)
    assert trainings.shown(cancelled)["status"] == "cancelled" and trainings.is_gone(cancelled)
    assert trainings.is_gone(job(JobState.RUNNING, cancel=True))
    assert trainings.arguments("application/json") == {}


def test_what_a_training_returned(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    name = files.put(b'{"loss": 0.5}')
    assert read_output(files, name, inf) == read_output(files, name, 13) == {"loss": 0.5}
    assert read_output(files, name, 12) is None
    assert read_output(files, files.put(b"\x89PNG"), inf) is None
    assert read_output(files, "0" * 64, inf) is None


def test_the_arguments_of_a_training_are_shown_unless_they_are_large(tmp_path: Path) -> None:
    assert read_arguments(CallResult(body=b'{"epochs": 3}')) == {"epochs": 3}
    spool = Spool(tmp_path, 2**20, memory=None)
    spool.open()
    before = set(tmp_path.rglob("*"))
    file = spool.create(2)
    file.write(b"{}")
    assert set(tmp_path.rglob("*")) > before
    assert read_arguments(CallResult(body=file)) == {}
    assert set(tmp_path.rglob("*")) == before
    spool.close()


def test_documents_have_the_path_of_the_server() -> None:
    base = "/user/a/easymlnb/services/deep_demo/deepaas"
    (found,) = documents.models(MODEL, base)["models"]
    assert found == {
        "id": "deep-demo",
        "name": "Deep Demo",
        "description": "Echoes.",
        "links": [{"rel": "self", "href": f"{base}/v2/models/deep-demo"}],
    }
    assert documents.versions(base)["versions"] == [documents.version(base)]
    assert documents.version(base)["links"][0]["href"] == f"{base}/v2/"


def test_swagger() -> None:
    made = documents.swagger(MODEL, "/deepaas")
    assert made["swagger"] == "2.0" and made["basePath"] == "/deepaas"
    assert not [path for path in made["paths"] if "train" in path]
    post = made["paths"]["/v2/models/deep-demo/predict/"]["post"]
    assert post["produces"] == ["application/json", "image/png"]
    assert post["consumes"] == ["multipart/form-data"]
    assert post["parameters"] == [
        {"name": "x", "in": "query", "type": "integer", "required": True},
        {"name": "file", "in": "formData", "type": "file"},
    ]
    assert "predictions" in made["definitions"]["ModelPredictionResponse"]["properties"]
    trains = documents.swagger(DeepaasModel(name="a", train=MODEL.predict), "")
    assert set(trains["paths"]["/v2/models/a/train/{uuid}"]) == {"get", "delete"}
    assert ast.literal_eval(repr(trains)) == trains
