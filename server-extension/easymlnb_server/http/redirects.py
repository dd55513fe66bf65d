"""Keep redirects on this host, whatever address they are built from."""

from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform


class OnThisHost(OutputTransform):
    """Encodes backslashes in ``Location``.

    They have no place in an address, and browsers read them as slashes: Jupyter answers
    ``/\\\\host/`` with a redirect to ``/\\\\host``, which would lead to another host.
    """

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        location = headers.get("Location", "")
        if "\\" in location:
            headers["Location"] = location.replace("\\", "%5C")
        return status_code, headers, chunk
