"""Settings of the documentation site. ``scripts/docs`` builds it, without the network."""

import re
from pathlib import Path

from docutils.nodes import Node
from docutils.parsers.rst.directives.images import Figure
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

import easymlnb

project = "easymlnb"
release = version = easymlnb.__version__
copyright = "the easymlnb authors"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]

# Anchors as GitHub makes them, so that the same links work there and here.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]

# Types stay out of signatures: docstrings name them, with units and defaults.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False

# Lexers do not know the shell sessions and HTTP fragments that pages show without a language.
highlight_language = "none"

html_theme = "pydata_sphinx_theme"
html_title = "easymlnb"
html_static_path = ["_static"]
html_css_files = ["easymlnb.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
}

# Elements by which a browser loads something while it opens a page. Links do not count.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["'](?:https?:)?//[^"']+"""
    r"""|<link\b(?=[^>]*\brel=["'](?:stylesheet|preload|icon|preconnect))[^>]*\bhref=["'](?:https?:)?//[^"']+""",
    re.IGNORECASE,
)


class Screenshot(Figure):
    """A figure with an image of ``scripts/screenshots``; nothing where it has not been taken."""

    def run(self) -> list[Node]:
        name = self.arguments[0]
        if not (Path(__file__).parent / "_static/screenshots" / name).exists():
            return []
        self.arguments[0] = f"/_static/screenshots/{name}"
        return super().run()


def refuse_other_hosts(app: Sphinx, exception: Exception | None) -> None:
    """Fail the build when a page would load something from another host."""
    if exception is not None or app.builder.format != "html":
        return
    for page in sorted(Path(app.outdir).rglob("*.html")):
        found = LOADED.search(page.read_text(encoding="utf-8"))
        if found:
            name = page.relative_to(app.outdir)
            raise ExtensionError(f"{name} loads a file from another host: {found[0]}")


def setup(app: Sphinx) -> None:
    app.add_directive("screenshot", Screenshot)
    app.connect("build-finished", refuse_other_hosts)
