"""What a request is about when several processes share the services."""

import pytest

from easymlnb_server.cluster.routing import ANY, Subject, read

ID = "a" * 64


@pytest.mark.parametrize(
    ("line", "owned", "subject"),
    [
        ("POST services/roll/call", False, Subject(service="roll")),
        ("POST services/alice/roll/call", True, Subject(service="alice/roll")),
        ("GET services/b%2Bob%40x.org/roll", True, Subject(service="b+ob@x.org/roll")),
        ("PUT services/alice/roll/access", True, Subject(service="alice/roll")),
        ("GET public/roll/api/kernels/k/channels", False, Subject(service="roll")),
        ("GET apps/alice/roll", True, Subject(service="alice/roll")),
        ("POST services/roll/live/call", False, ANY),
        ("POST services/alice/roll/live/call", True, ANY),
        ("GET services", False, ANY),
        ("POST services", False, ANY),
        ("GET services/", False, ANY),
        (f"GET bundles/{ID}", False, Subject(bundle=ID)),
        (f"DELETE bundles/{ID}", True, Subject(bundle=ID)),
        (f"GET bundles/{ID}/notebook", True, Subject(bundle=ID)),
        (f"DELETE bundles/{ID}", True, Subject(bundle=ID)),
        ("POST uploads", False, Subject(service="asked")),
        ("PUT uploads/0123abcdrest", False, Subject(mark="0123abcd")),
        ("DELETE calls/some-call-id", False, Subject(call="some-call-id")),
        ("GET calls/some-call-id", False, ANY),
        ("GET link", False, Subject(mark="89abcdef")),
        ("GET health/ready", False, ANY),
        ("GET ", False, ANY),
        ("GET static/easymlnb.css", False, ANY),
    ],
)
def test_a_request_is_about(line: str, owned: bool, subject: Subject) -> None:
    method, _, path = line.partition(" ")
    authorization = "easymlnb 89abcdefrest-of-the-secret"
    assert read(method, path, "asked", authorization, owned=owned, mark=8) == subject
