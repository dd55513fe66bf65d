"""The routes of jobs in the OpenAPI document."""

from easymlnb_server.calls.responses import EVENTS
from easymlnb_server.jobs.models import STATES, JobAccepted, JobDetails, JobPage, JobShown
from easymlnb_server.openapi.document import (
    BYTES,
    CALLING,
    COUNT,
    EVENT_STREAM,
    JSON,
    TEXT,
    Operation,
    done,
    ok,
    query_parameter,
)
from easymlnb_server.openapi.headers import CALL, WEBHOOK

_JOB_OPTIONS = (
    query_parameter("lane", "The lane of kernels that runs the job.", TEXT),
    query_parameter(
        "attempts", "How often the function may raise before the job fails.", COUNT | {"default": 1}
    ),
    query_parameter("timeout", "Seconds that one attempt may run.", {"type": "number"}),
    query_parameter(
        "not_before", "When the job may start, in seconds since 1970.", {"type": "number"}
    ),
)
_SHOWN = ok("The job.", JobDetails)
_STATE = query_parameter("state", "Only jobs in this state.", {"enum": list(STATES)})

OPERATIONS = {
    "POST /services/{name}/jobs": Operation(
        "submitJob",
        "Call a service as a job",
        ok("The job is stored and will run.", JobAccepted, 202),
        CALLING,
        tag="Jobs",
        body={JSON: {"type": "object"}, "multipart/form-data": {"type": "object"}},
        headers=CALL + WEBHOOK,
        query=_JOB_OPTIONS,
        description="The body is that of a call. The job outlives the request and the server.",
    ),
    "GET /jobs": Operation(
        "listJobs",
        "Your jobs, newest first",
        ok("A part of the list.", JobPage),
        (503,),
        tag="Jobs",
        query=(
            _STATE,
            query_parameter("service", "Only jobs of this service.", TEXT),
            query_parameter("kind", "Only jobs of this kind.", TEXT),
            query_parameter("parent", "Only the parts of this job.", TEXT),
            query_parameter("limit", "Jobs in one part.", COUNT | {"default": 50}),
            query_parameter("start", "`next` of the part before.", TEXT),
        ),
    ),
    "GET /jobs/{id}": Operation(
        "getJob",
        "A job",
        _SHOWN,
        (503,),
        tag="Jobs",
        query=(
            query_parameter("wait", "Seconds to wait for the end of the job.", {"type": "number"}),
        ),
    ),
    "DELETE /jobs/{id}": Operation(
        "deleteJob",
        "Cancel a job, or delete one that has ended",
        ok("The job is being canceled.", JobShown, 202) | done("The job is deleted."),
        (409, 503),
        tag="Jobs",
    ),
    "GET /jobs/{id}/result": Operation(
        "getJobResult",
        "The result of a job",
        ok("The result itself; the error of a job that failed.", {JSON: {}}),
        (409, 410, 422, 503, 504),
        tag="Jobs",
    ),
    "GET /jobs/{id}/log": Operation(
        "getJobLog",
        "What a job printed",
        ok("Text.", {"text/plain": TEXT}),
        (503,),
        tag="Jobs",
        query=(query_parameter("from", "The first byte.", COUNT),),
    ),
    "GET /jobs/{id}/events": Operation(
        "followJob",
        "Follow a job",
        ok(
            "Events `state`, `progress`, `log`, `metric`, `file` and `checkpoint`, until the job "
            "has ended.",
            {EVENTS: EVENT_STREAM},
        )
        | done("There is nothing left to send."),
        (503,),
        tag="Jobs",
        query=(query_parameter("after", "As the header `Last-Event-ID`.", COUNT),),
    ),
    "GET /jobs/{id}/files/{label}": Operation(
        "getJobFile",
        "A file that a job saved",
        ok("The file.", {"application/octet-stream": BYTES}),
        (410, 503),
        tag="Jobs",
    ),
    "POST /jobs/{id}/cancel": Operation(
        "cancelJob",
        "Cancel a job",
        ok("The job is canceled, or asked to stop.", JobShown, 202),
        (409, 503),
        tag="Jobs",
    ),
    "POST /jobs/{id}/retry": Operation(
        "retryJob",
        "Run a job again",
        ok("A new job with the same input.", JobAccepted, 202),
        (400, 503),
        tag="Jobs",
    ),
}
