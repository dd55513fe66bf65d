"""What a check found in data: a problem, or a question."""

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class DataFinding:
    """Something about the data that its owner should know before a model is trained.

    Attributes
    ----------
    code : str
        What it is, such as ``"leak"`` or ``"id_column"``.
    message : str
        A sentence for people, with the column and what to do.
    column : str
        The column that it is about; empty for the table.
    level : {"warning", "error"}
        With an error, no model can be trained.
    action : str
        What would settle it: ``"drop"`` the column, use it as ``"groups"`` or as ``"time"``, or
        nothing.
    """

    code: str
    message: str
    column: str = ""
    level: str = WARNING
    action: str = ""
