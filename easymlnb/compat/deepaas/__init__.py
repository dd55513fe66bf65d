"""Modules for DEEPaaS, unchanged: ``serve("entry_point")`` in a cell.

They need marshmallow 3 and webargs, which the extra ``deepaas`` installs; DEEPaaS itself is not
needed.
"""

from importlib import metadata

from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.installation import missing

_MISSING = missing("marshmallow", "webargs")
if _MISSING or metadata.version("marshmallow").split(".")[0] != "3":
    raise DefinitionError(
        "DEEPaaS modules need marshmallow 3 and webargs in this environment: "
        "pip install 'easymlnb[deepaas]'"
    )

from easymlnb.compat.deepaas.files import ReturnedFile, UploadedFile  # noqa: E402
from easymlnb.compat.deepaas.serving import DeepaasServices, serve  # noqa: E402

__all__ = ["DeepaasServices", "ReturnedFile", "UploadedFile", "serve"]
