"""Messages about a job, which is a call that outlives its link.

A job's worker continues without its server. It stores the output and the result in files, and
keeps the result until the server has stored it (``JobStored``). After the link was lost, the
worker connects again and reports in ``Hello`` what it runs; the server answers ``JobAdopted``.
"""

from easymlnb.contract.message import Message

JOBS_FOLDER = ".easymlnb-jobs"
"""Folder in a worker's folder with a subfolder for each attempt of a job (``attempt_folder``)."""

LOG_FILE, END_FILE = "log", "end"
"""In that folder: what the job printed, and the frame of its ``Result`` or ``Failure``."""

LOG_LIMIT = 16 * 2**20
"""Maximum bytes of a job's output that are stored."""

LOG_CHUNK = 64 * 1024
"""Maximum bytes of output in one message."""

RunningJob = tuple[str, int, int]
"""A job, the number of its attempt, and the id of its call."""


def attempt_folder(job: str, attempt: int) -> str:
    """Return the name of the folder of one attempt."""
    return f"{job}-{attempt}"


# worker -> server


class JobOutput(Message):
    """Output of a job; the frame's body starts at the byte ``offset`` of the whole output."""

    id: int
    offset: int


class JobMetric(Message):
    """A value that a job reports at a step, which starts at 0."""

    id: int
    name: str
    step: int
    value: float


class JobFile(Message):
    """A file that a job saves; the frame's body has its content.

    ``file`` is the name of a large one in the link's shared folder. A ``checkpoint`` has no label.
    """

    id: int
    number: int
    label: str = ""
    media_type: str = ""
    file: str = ""
    checkpoint: bool = False


# server -> worker


class JobCheckpoint(Message):
    """The newest checkpoint of the job whose call comes next: the frame's body, or ``file``."""

    job: str
    attempt: int
    file: str = ""


class JobAdopted(Message):
    """The server has taken a running job over and has its output up to the byte ``log``."""

    id: int
    log: int = 0
    result_folder: str = ""


class JobFileStored(Message):
    """The server has stored the file with this number."""

    id: int
    number: int


class JobStored(Message):
    """The server has stored the job's result, so the worker may forget it."""

    id: int
