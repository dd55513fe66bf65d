"""Keep redirects on this host."""

from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform


class OnThisHost(OutputTransform):
    """Encodes backslashes in ``Location``.

    Browsers read backslashes as slashes: Jupyter answers ``/\\\\host/`` with a redirect to
    ``/\\\\host``, which would lead to another host.
    """

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        location = headers.get("Location", "")
        if "\\" in location:
            headers["Location"] = location.replace("\\", "%5C")
        return status_code, headers, chunk
