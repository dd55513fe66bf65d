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

FILE_PART = 2**20
"""Bytes in one message of a file that is sent in parts."""

FILE_WINDOW = 4
"""Parts that may be sent before the server has stored them."""

SIGTERM_SECONDS = 20.0
"""Seconds that a job has to leave a node whose scheduler sent SIGTERM."""

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

    ``file`` is the name of a large one in the link's shared folder. With ``size`` the content was
    sent before, in parts. A ``checkpoint`` has no label.
    """

    id: int
    number: int
    label: str = ""
    media_type: str = ""
    file: str = ""
    checkpoint: bool = False
    size: int = 0


class JobFilePart(Message):
    """The part of a file from the byte ``offset`` on: the frame's body."""

    id: int
    number: int
    offset: int


class ReadCheckpoint(Message):
    """Ask for the part of a stored checkpoint from the byte ``offset`` on."""

    id: int
    file: str
    offset: int


# server -> worker


class JobCheckpoints(Message):
    """The checkpoints of the job whose call comes next, newest first: stored files with sizes."""

    job: str
    attempt: int
    files: tuple[tuple[str, int], ...]


class JobPromoted(Message):
    """The running call with this id is a job from now on, with the number of its attempt."""

    id: int
    job: str
    attempt: int


class CheckpointPart(Message):
    """The answer to ``ReadCheckpoint`` in the frame's body; ``missing``: it cannot be read."""

    id: int
    file: str
    offset: int
    missing: bool = False


class Leaving(Message):
    """The job's node ends in ``seconds``: save a checkpoint and leave."""

    id: int
    seconds: float


class JobDropped(Message):
    """The server no longer counts on this run of the job, so the worker must end."""

    id: int


class JobAdopted(Message):
    """The server has taken a running job over and has its output up to the byte ``log``."""

    id: int
    log: int = 0
    result_folder: str = ""


class JobPartStored(Message):
    """The server has the file with this number up to the byte ``offset``."""

    id: int
    number: int
    offset: int


class JobFileStored(Message):
    """The server has stored the file with this number, or never will."""

    id: int
    number: int


class JobStored(Message):
    """The server has stored the job's result, so the worker may forget it."""

    id: int
