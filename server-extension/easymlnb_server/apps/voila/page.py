"""The parts of a page that Voila's front end reads."""

from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from easymlnb_server.apps.voila.assets import Assets

VIEW = "application/vnd.jupyter.widget-view+json"

PLOTS = "jupyterlab-plotly"

OFF = (
    # They would load code from a CDN; forms have no formulas.
    "@jupyterlab/mathjax2-extension",
    "@jupyterlab/mathjax-extension",
)


class Pages:
    """Renders the Voila part of pages."""

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
        files = f"{assets}{self._assets.tag}/"
        config = self._config(files, plots) | {"baseUrl": base, "kernelId": session}
        view = {"version_major": 2, "version_minor": 0, "model_id": root}
        output = {
            "output_type": "display_data",
            "data": {VIEW: view},
            "metadata": {},
            "trusted": True,
        }
        # Fetched while the user fills in the form, not when the first plot appears.
        prefetched = [
            name
            for name in self._assets.files
            if plots and name.startswith(f"labextensions/{PLOTS}/") and name.endswith(".js")
        ]
        return Markup(
            '<script id="jupyter-config-data" type="application/json">{}</script>\n'
            '<div id="rendered_cells"><div>'
            '<script type="application/vnd.voila.cell-output+json">{}</script></div></div>\n'
            '<script src="{}static/voila.js" defer></script>\n'
        ).format(htmlsafe_json_dumps(config), htmlsafe_json_dumps(output), files) + Markup("").join(
            Markup('<link rel="prefetch" as="script" href="{}{}">\n').format(files, name)
            for name in prefetched
        )

    def _config(self, files: str, plots: bool) -> dict[str, Any]:
        extensions = self._assets.extensions.items()
        return self._assets.config | {
            "fullStaticUrl": f"{files}static",
            "fullLabextensionsUrl": f"{files}labextensions",
            "federated_extensions": [one for name, one in extensions if plots or name != PLOTS],
            "disabledExtensions": list(OFF),
            "fullMathjaxUrl": "",
            "progressiveRendering": False,
            # A theme of JupyterLab would override our styles.
            "jupyterLabTheme": "light",
        }
