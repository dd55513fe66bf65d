"""App pages, rendered from our Voila template."""

from functools import cached_property
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from easymlnb.contract.page_protocol import PageBuilt
from easymlnb_server.apps.voila.assets import Assets, template_folders

ESCAPES = ((b"&", b"\\u0026"), (b"<", b"\\u003c"), (b">", b"\\u003e"))
"""Characters that could end a script element; in JSON they only occur in strings."""


class Pages:
    """Renders app pages."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    @cached_property
    def _template(self) -> Template:
        environment = Environment(
            loader=FileSystemLoader(list(map(str, template_folders()))),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("index.html.j2")

    def prepare(self) -> None:
        """Read and compress all files, so that the first visitor does not wait for that."""
        assert self._template and self._assets.files and self._assets.style

    @property
    def style(self) -> Markup:
        """The style sheet, which every page contains."""
        return Markup(self._assets.style)

    def script(self, name: str, assets: str) -> str:
        """Return the address of a script; ``assets`` is the path of ``app-assets/``."""
        return f"{assets}{self._assets.path(name)}"

    def render(
        self,
        built: PageBuilt | None,
        *,
        assets: str,
        session: str,
        root_widget: str,
        optional: dict[str, str],
        packages: dict[str, dict[str, str]],
        **values: Any,
    ) -> str:
        """Return a page.

        built: what it shows first; without it the script fetches the state of the form.
        assets: path of ``app-assets/``.
        session: id of the page's session.
        root_widget: id of the outermost widget.
        optional: scripts that the page may need later, by the names that its script uses.
        packages: addresses of packages with widgets that the page needs, by their names.
        """
        data = {
            "kernelId": session,
            "view": {"model_id": root_widget},
            "optional": {name: self.script(file, assets) for name, file in optional.items()},
            "packages": packages,
        }
        return self._template.render(
            values
            | {
                "data": htmlsafe_json_dumps(data),
                "state": Markup(_escaped(built.state) if built else "null"),
                "painted": Markup(built.html if built else ""),
                "style": self.style,
                "early": self.script("early.js", assets),
                "script": self.script("app.js", assets),
                "session": session,
            }
        )


def _escaped(state: bytes) -> str:
    for character, escape in ESCAPES:
        state = state.replace(character, escape)
    return state.decode()
