"""Models of DEEPaaS modules: what a spec says about one, and how a request reaches a worker.

The server parses no arguments of these requests: it forwards the body, and the rest of the request
is in the media type. A worker reads both with the fields of the module.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final, Literal

import msgspec

from easymlnb.contract.errors import BadRequest

MEDIA_TYPE = "application/vnd.easymlnb.deepaas"
"""Media type of a forwarded request, and of the response that it wants."""

PREDICT: Final = "predict"
TRAIN: Final = "train"
Method = Literal["predict", "train"]

STATUS = "status"
"""Key of an error's details with the HTTP status that a module chose."""


class DeepaasArgument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An argument of a method, as a Swagger 2.0 parameter without its ``in`` and ``name``.

    - ``location``: ``query``, ``formData`` or ``header``
    """

    name: str
    location: str = "query"
    schema: dict[str, Any] = {}


class DeepaasMethod(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A method of a model, and the service that runs it; ``produces`` are its media types."""

    service: str
    arguments: tuple[DeepaasArgument, ...] = ()
    produces: tuple[str, ...] = ("application/json",)


class DeepaasModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that a module offers.

    - ``name``: the name of its entry point
    - ``metadata``: what the module says about itself
    - ``predict``, ``train``: its methods; ``None`` if a method is off or missing
    - ``missing``: the methods that the module does not implement
    - ``response``: Swagger 2.0 schemas of the fields of a prediction, empty without a schema
    """

    name: str
    metadata: dict[str, Any] = {}
    predict: DeepaasMethod | None = None
    train: DeepaasMethod | None = None
    missing: tuple[str, ...] = ()
    response: dict[str, Any] = {}

    def method(self, name: Method) -> DeepaasMethod | None:
        """Return a method; ``None`` if it is off or missing."""
        return self.predict if name == PREDICT else self.train


class DeepaasRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request without its body.

    - ``query``: the query string
    - ``content_type``, ``accept``: headers
    - ``check``: only check the arguments, and return them as JSON
    - ``arguments``: of a training, the checked arguments, which the server shows
    """

    query: str = ""
    content_type: str = ""
    accept: str = ""
    check: bool = False
    arguments: dict[str, Any] = {}

    def media_type(self) -> str:
        """Return the media type under which the body is forwarded."""
        encoded = urlsafe_b64encode(msgspec.json.encode(self)).decode()
        return f"{MEDIA_TYPE}; request={encoded}"

    @classmethod
    def from_media_type(cls, media_type: str) -> "DeepaasRequest":
        """Read what ``media_type`` wrote; raises ``BadRequest``."""
        encoded = media_type.partition("request=")[2]
        try:
            return msgspec.json.decode(urlsafe_b64decode(encoded), type=cls)
        except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError):
            raise BadRequest(
                f"The parameter 'request' of {MEDIA_TYPE} is invalid. Only the server sends this "
                "media type; send JSON or a form to the service's DEEPaaS routes."
            ) from None
