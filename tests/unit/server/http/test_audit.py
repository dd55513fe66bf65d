"""Every route that changes something is in the audit log, or says why not."""

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from easymlnb_server.http.routes import ROUTES, SHARED_ROUTES
from easymlnb_server.http.unknown_routes import NotFoundHandler
from easymlnb_server.identity.api_keys import keys
from easymlnb_server.maintenance import __main__ as maintenance
from easymlnb_server.model_registry.handlers import AliasHandler, ModelHandler
from easymlnb_server.model_templates.handlers import TemplateModelsHandler
from easymlnb_server.publishing import promotions
from easymlnb_server.schedules.handlers import ScheduleHandlerBase

REFERENCE = Path(__file__).parents[4] / "docs" / "reference" / "rest.md"
METHODS = ("post", "put", "patch", "delete")

EXCEPTIONS = {
    "CallHandler.post": "calls are in the usage and the log of calls",
    "EventCallHandler.post": "calls are in the usage and the log of calls",
    "RunningCallHandler.delete": "a caller cancels their own call",
    "DataUploadsHandler.post": "a caller's own file, which expires",
    "UploadHandler.put": "a caller's own file, which expires",
    "UploadHandler.delete": "a caller's own file, which expires",
    "SubmitHandler.post": "jobs are in the usage, with their events",
    "JobHandler.delete": "a caller's own job",
    "CallToJobHandler.post": "a caller's own call, whose job has the event",
    "CancelJobHandler.post": "a caller's own job, which has the event",
    "RetryJobHandler.post": "a caller's own job, which has the event",
    "BatchesHandler.post": "jobs are in the usage, with their events",
    "NotificationHandler.post": "jobs are in the usage, with their events",
    "SweepsHandler.post": "jobs are in the usage, with their events",
    "RunScheduleHandler.post": "jobs are in the usage, with their events",
    "MlaasTrainHandler.post": "jobs are in the usage, with their events",
    "MlaasPredictHandler.post": "calls are in the usage and the log of calls",
    "PredictHandler.post": "calls are in the usage and the log of calls",
    "InvocationsHandler.post": "calls are in the usage and the log of calls",
    "InferHandler.post": "calls are in the usage and the log of calls",
    "InferStreamHandler.post": "calls are in the usage and the log of calls",
    "GenerateHandler.post": "calls are in the usage and the log of calls",
    "IndexHandler.post": "changes nothing: it lists states",
    "DeepaasPredictHandler.post": "calls are in the usage and the log of calls",
    "DeepaasPredictSlashHandler.post": "changes nothing: a redirect",
    "DeepaasTrainSlashHandler.post": "changes nothing: a redirect",
    "DeepaasTrainHandler.post": "jobs are in the usage, with their events",
    "DeepaasTrainingHandler.delete": "a caller's own job",
    "McpHandler.post": "calls are in the usage and the log of calls",
    "ProcessHandler.post": "calls are in the usage and the log of calls",
    "LookHandler.post": "changes nothing: it describes data",
    "MlflowHandler.post": "changes nothing: the facade is read-only",
    "TestWebhookHandler.post": "the delivery is in the list of deliveries",
    "RetryDeliveryHandler.post": "the delivery is in the list of deliveries",
    "FlagHandler.post": "a caller keeps their own call; the record says who and why",
    "LeaveHandler.post": "a page closes",
    "NodeKernelsHandler.post": "the shared service starts workers automatically",
    "NodeKernelHandler.patch": "the shared service keeps workers automatically",
    "NodeKernelHandler.delete": "the shared service stops workers automatically",
}
"""Handlers whose changes are not in the audit log, and why."""

ELSEWHERE: dict[str, Any] = {
    "KeysHandler.post": keys.ApiKeys.create,
    "KeyHandler.delete": keys.ApiKeys.revoke,
    "ScheduleHandler.patch": ScheduleHandlerBase.change,
    "PauseScheduleHandler.post": ScheduleHandlerBase.change,
    "TemplateModelsHandler.post": TemplateModelsHandler._create,
    "TemplateModelHandler.delete": ModelHandler.delete,
    "TemplateAliasHandler.put": AliasHandler.put,
    "TemplateAliasHandler.delete": AliasHandler.delete,
}
"""Handlers whose events are recorded by what they call: this function."""


def changing() -> dict[str, Any]:
    """Return the functions that answer changing methods, by handler and method."""
    found: dict[str, Any] = {}
    for _, handler, *_ in (*ROUTES, *SHARED_ROUTES):
        for method in METHODS:
            function = getattr(handler, method)
            if handler is not NotFoundHandler and "_unimplemented" not in function.__qualname__:
                found[f"{handler.__name__}.{method}"] = function
    return found


def actions(function: Any) -> set[str]:
    """Return the actions that a function records: texts such as ``key.create``."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {
        text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+\.[a-z]+", text)
    }


def records(function: Any) -> bool:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = {getattr(call, "attr", getattr(call, "id", "")) for call in calls}
    return not names.isdisjoint({"record", "note_use"})


@pytest.mark.parametrize("name", sorted(changing()))
def test_changes_are_recorded(name: str) -> None:
    function = changing()[name]
    if name in ELSEWHERE:
        assert actions(ELSEWHERE[name]), f"{name}: the event is missing in {ELSEWHERE[name]}"
    else:
        assert records(function) != (name in EXCEPTIONS), (
            f"{name} must record an event with self.record(...), or be an exception with a reason."
        )


def test_exceptions_exist() -> None:
    assert changing().keys() >= EXCEPTIONS.keys() | ELSEWHERE.keys()


def test_all_actions_are_documented() -> None:
    used = {"record.read", "record.delete"}
    for name, function in changing().items():
        used |= actions(ELSEWHERE.get(name, function)) if name not in EXCEPTIONS else set()
    used |= actions(promotions.Promotions)
    used |= {found for found in actions(maintenance) if found.startswith("backup.")}
    text = REFERENCE.read_text(encoding="utf-8")
    table = text[text.index("| action | when |") :].split("\n\n")[0]
    documented = set(re.findall(r"`([a-z]+\.[a-z]+)`", table))
    assert documented == used
