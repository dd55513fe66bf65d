"""What stands on the page of an app: the form, what came of it, and what one may do with it."""

from dataclasses import dataclass
from typing import Any

from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.caller import Caller
from easymlnb.forms.form import Form


@dataclass(frozen=True, slots=True)
class Uploads:
    """How the visitor's browser sends files.

    ``url`` is the path of the uploads route as the browser sees it; ``authorization`` the header
    that admits it there, "" where its cookies do.
    """

    url: str
    authorization: str = ""


class App:
    """The widgets of one visitor's page. Place ``widget``; ``close`` frees all of it.

    ``base`` is the path of easymlnb's routes as the visitor's browser sees it. ``values`` are
    filled in at first. ``public`` pages show no code with tokens, for their visitors have none.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        caller: Caller,
        *,
        base: str,
        values: dict[str, Any] | None = None,
        uploads: Uploads | None = None,
        public: bool = False,
    ) -> None:
        self.spec = spec
        self.form = Form(spec, caller, url=base, framed=False)
        self.widget = self.form.widget
        if values:
            self.form.fill(values)

    def close(self) -> None:
        """Stop what runs and free all widgets."""
        self.form.close()
