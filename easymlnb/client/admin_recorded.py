"""``client.admin``: recorded calls, flags and comparisons."""

from collections.abc import Mapping
from typing import Any

from easymlnb.client import operations, recorded
from easymlnb.client.admin_method import Operations, operation
from easymlnb.client.messages import Operation, Request, raise_for_error


class RecordedOperations(Operations):
    """Flag, list, read and delete recorded calls; compare versions on them."""

    @operation
    def flag(
        self,
        name: str,
        reason: str,
        *,
        request_id: str = "",
        input: Mapping[str, Any] | None = None,
        result: Any = None,
        version: str = "",
    ) -> Operation[dict[str, Any]]:
        """Keep one call of a service with its inputs and result, and return its ``id``.

        Parameters
        ----------
        name : str
        reason : str
            Why the call is kept.
        request_id : str, optional
            The call, if a form or an app page made it in the last minutes, or if it was recorded.
        input, result : optional
            The JSON values of any other call.
        version : str, optional
            The version that answered such a call.

        Raises
        ------
        CallNotFound
            The server does not have this call.
        TooManyFlags
            The caller, or all callers of the service, flagged too many calls.
        """
        body: dict[str, Any] = {"reason": reason}
        body |= {"request_id": request_id} if request_id else {}
        body |= {"input": dict(input), "result": result} if input is not None else {}
        body |= {"version": version} if version else {}
        return recorded.flag(self._specs, name, body)

    @operation
    def flags(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the flagged calls of one of your services, newest first."""
        return recorded.records(self._specs, name, "flagged")

    @operation
    def records(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the recorded and flagged calls of one of your services, newest first."""
        return recorded.records(self._specs, name, "")

    @operation
    def record(self, name: str, id: str) -> Operation[dict[str, Any]]:
        """Return a recorded call: ``record``, ``input`` and ``result`` as JSON values."""
        return operations.get_of_service(self._specs, name, "records", id)

    @operation
    def record_inputs(self, name: str, id: str) -> Operation[dict[str, Any]]:
        """Return the inputs of a recorded call as Python objects, to call the service again."""
        return recorded.inputs(self._specs, name, id)

    @operation
    def record_code(self, name: str, id: str) -> Operation[str]:
        """Return a notebook's cell that repeats a recorded call."""
        return recorded.code(self._specs, name, id)

    @operation
    def records_dataset(
        self, name: str, *, kind: str = "flagged", format: str = "zip"
    ) -> Operation[bytes]:
        """Return all ``flagged`` or ``recorded`` calls as a file: zip, csv or jsonl."""
        return recorded.dataset(self._specs, name, kind, format)

    @operation
    def remove_records(
        self, name: str, *, id: str = "", caller: str = "", kind: str = ""
    ) -> Operation[int]:
        """Delete recorded and flagged calls and return how many; all of them unless restricted.

        ``id`` is one call, ``caller`` a user (``"me"``: your own), ``kind`` is ``recorded`` or
        ``flagged``.
        """
        return recorded.remove(self._specs, name, id, caller, kind)

    @operation
    def compare(
        self,
        name: str,
        before: int | str,
        after: int | str,
        *,
        on: str = "examples",
        limit: int | None = None,
        relative: float | None = None,
        absolute: float | None = None,
        wait: bool = True,
    ) -> Operation[dict[str, Any]]:
        """Compare two versions of one of your services on the same inputs.

        Parameters
        ----------
        name : str
        before, after : int or str
            Version numbers or aliases.
        on : str, default "examples"
            ``"examples"``, ``"recorded"`` or ``"flagged"`` calls, or the path of a table of inputs
            (CSV or JSON lines).
        limit : int, default 200
            Largest number of inputs.
        relative, absolute : float, optional
            How far numbers may be apart. Default: 1e-6 and 1e-9.
        wait : bool, default True
            ``False`` returns as soon as the server has accepted it.

        Returns
        -------
        dict
            ``id``, ``state``, ``summary`` and ``items``.

        Raises
        ------
        IncompatibleVersions
            The versions do not take the same inputs.
        VersionNotFound
            The service has no such version.
        """
        tolerance = {"relative": relative, "absolute": absolute}
        given = {key: value for key, value in tolerance.items() if value is not None}
        body: dict[str, Any] = {"versions": [before, after]}
        body |= {"tolerance": given} if given else {}
        body |= {"limit": limit} if limit is not None else {}
        return recorded.compare(self._specs, name, body, on, wait)

    @operation
    def comparison(self, id: str) -> Operation[dict[str, Any]]:
        """Return a comparison with what is known so far."""
        return operations.get(f"comparisons/{id}")

    @operation
    def comparisons(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the comparisons of one of your services, newest first."""
        return operations.get_of_service(self._specs, name, "comparisons", key="comparisons")

    @operation
    def remove_comparison(self, id: str) -> Operation[None]:
        """Stop and delete a comparison."""
        raise_for_error((yield Request("DELETE", f"comparisons/{id}")))
