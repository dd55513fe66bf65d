"""The inputs of a comparison's items: examples, recorded calls, rows of a table."""

import msgspec

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.comparisons.calling import Inputs
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.recordings import inputs as recorded
from easymlnb_server.recordings.models import StoredCall
from easymlnb_server.store.comparisons import ComparisonRow, ItemRow
from easymlnb_server.store.store import Store
from easymlnb_server.uploads.spool import Spool

JSON = "application/json"
DELETED = "The recorded call was deleted."
NO_SECRETS = "The call has secret parameters, which are not recorded: {}."


class Skipped(Exception):
    """An item has no inputs; the message says why."""


class InputReader:
    """Reads the inputs of the items of one comparison. Its methods block."""

    def __init__(self, store: Store, spool: Spool, row: ComparisonRow, spec: ServiceSpec) -> None:
        self._store = store
        self._spool = spool
        self._examples = spec.examples if row.source == "examples" else ()
        self._rows: list[bytes] = []
        if row.file:
            self._rows = msgspec.msgpack.decode(store.files.get(row.file), type=list[bytes])

    def read(self, item: ItemRow) -> tuple[Inputs, str]:
        """Return the inputs of an item and their start as text; raises ``Skipped``."""
        if item.record:
            return self._recorded(item.record)
        if self._rows:
            body = self._rows[item.number]
        else:
            body = msgspec.json.encode(self._examples[item.number])
        shown = recorded.preview(StoredCall(id="", input=body, input_type=JSON))
        return Inputs(body, JSON), shown

    def _recorded(self, id: str) -> tuple[Inputs, str]:
        row = self._store.recordings.get(id)
        if row is None:
            raise Skipped(DELETED)
        try:
            call = StoredCall.decode(self._store.files.get(row.file))
        except EasyMLNBError as error:
            raise Skipped(DELETED) from error
        if call.removed:
            raise Skipped(NO_SECRETS.format(", ".join(call.removed)))
        if not call.uploads:
            return Inputs(call.input, call.input_type), row.preview
        files = []
        for upload, content in call.uploads:
            file = self._spool.create_on_disk(len(content))
            file.write(content)
            file.make_read_only()
            file.close_descriptor()
            files.append((upload, file))
        return Inputs(FileBody(data=call.input, uploads=tuple(files)), call.input_type), row.preview
