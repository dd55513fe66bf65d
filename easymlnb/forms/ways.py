"""Links from the form under a cell to the service's pages."""

from html import escape

PAGES = {
    "App": "apps/{name}",
    "API": "docs#tag-{name}",
    "About": "services/{name}/page",
    "Catalog": "",
}
"""What a link says, and where it leads below ``easymlnb/``."""


def ways(name: str, url: str) -> str:
    """Return the links as HTML; none when it is not known where the server is.

    ``url`` is how the kernel reaches the server. A browser behind a proxy knows another address:
    in JupyterLab our extension leads each link there, by its ``data-easymlnb``.
    """
    if not url:
        return ""
    links = []
    for label, pattern in PAGES.items():
        path = escape(pattern.format(name=name))
        links.append(
            f'<a href="{escape(url)}easymlnb/{path}" data-easymlnb="{path}" target="_blank" '
            f'rel="noopener">{label}</a>'
        )
    return f'<nav class="em-ways" aria-label="Pages of this service">{" ".join(links)}</nav>'
