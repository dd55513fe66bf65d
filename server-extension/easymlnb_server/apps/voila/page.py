"""What a page must hold so that Voila's front end takes it for one of its own."""

import json
from typing import Any

from markupsafe import Markup

from easymlnb_server.apps.voila.assets import Assets

VIEW = "application/vnd.jupyter.widget-view+json"

PLOTS = "jupyterlab-plotly"

OFF = (
    # It would load its code from a CDN; formulas are not part of a form.
    "@jupyterlab/mathjax2-extension",
    "@jupyterlab/mathjax-extension",
)


class Pages:
    """Makes the part of pages that is Voila's."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def body(self, *, base: str, assets: str, session: str, root: str, plots: bool) -> Markup:
        """Return the HTML of a page's content.

        base: path below which the front end expects Jupyter's API.
        assets: path of the files.
        session: id that the front end takes for the id of its kernel.
        root: id of the outermost widget.
        plots: whether to load the plotting library.
        """
        where = f"{assets}{self._assets.tag}/"
        extensions = [
            extension
            for name, extension in self._assets.extensions.items()
            if plots or name != PLOTS
        ]
        config: dict[str, Any] = {
            **self._assets.config,
            "baseUrl": base,
            "kernelId": session,
            "fullStaticUrl": f"{where}static",
            "fullLabextensionsUrl": f"{where}labextensions",
            "federated_extensions": extensions,
            "disabledExtensions": list(OFF),
            "fullMathjaxUrl": "",
            "progressiveRendering": False,
            # A theme of JupyterLab would be fetched and laid over our own.
            "jupyterLabTheme": "light",
        }
        # Its code is fetched while the form is filled in, not when the first plot is there.
        ahead = [
            name
            for name in self._assets.files
            if plots and name.startswith(f"labextensions/{PLOTS}/") and name.endswith(".js")
        ]
        view = {"version_major": 2, "version_minor": 0, "model_id": root}
        output = {
            "output_type": "display_data",
            "data": {VIEW: view},
            "metadata": {},
            "trusted": True,
        }
        return Markup(
            '<script id="jupyter-config-data" type="application/json">{}</script>\n'
            '<div id="rendered_cells"><div>'
            '<script type="application/vnd.voila.cell-output+json">{}</script></div></div>\n'
            '<script src="{}static/voila.js" defer></script>\n'
        ).format(_inline(config), _inline(output), where) + Markup("").join(
            Markup('<link rel="prefetch" as="script" href="{}{}">\n').format(where, name)
            for name in ahead
        )


def _inline(value: Any) -> Markup:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
