"""The pages that say how to connect an assistant: for all services, and for one."""

from tornado import web

from easymlnb.contract.names import quoted
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.names import slug
from easymlnb_server.openapi.document import HTML, Operation, ok
from easymlnb_server.protocols.assistants.clients import clients


class AssistantPageHandler(PageHandler):
    """``GET assistants`` and ``GET services/{name}/assistant``."""

    @web.authenticated
    def get(self, name: str = "") -> None:
        title, public = "", False
        if name:
            title = self.target(name, Action.CALL).spec.title
            public = self.state.services.public(name)
        url = f"{self.address}services/{quoted(name)}/mcp" if name else f"{self.address}mcp"
        self.page(
            "assistant.html",
            name=name,
            title=title,
            public=public,
            url=url,
            clients=clients(slug(name).replace(".", "-") if name else "easymlnb", url),
        )


_PAGE = ok("A page for people.", HTML)

OPERATIONS = {
    "GET /assistants": Operation(
        "getAssistants", "How to connect assistants to all services", _PAGE, tag="Documents"
    ),
    "GET /services/{name}/assistant": Operation(
        "getAssistant", "How to connect assistants to one service", _PAGE, tag="Documents"
    ),
}
