"""The head of a form under a cell: title, author, description, and links to the service's pages."""

from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.markup import Markup, element, join
from easymlnb.forms.sanitize import markdown

LONG = 400
"""Characters of a description above which only its first paragraph is unfolded."""

PAGES = {
    "App": "apps/{name}",
    "API": "docs#tag-{name}",
    "About": "services/{name}/page",
    "Catalog": "",
}
"""Labels of the links, and their paths below ``easymlnb/``."""


def header(spec: ServiceSpec) -> Markup:
    """Return title, author, license, tags and description."""
    facts = " \u00b7 ".join(filter(None, (spec.author, spec.license)))
    first, _, rest = spec.description.partition("\n\n")
    if len(spec.description) <= LONG:
        about = markdown(spec.description)
    else:
        more = element("details", element("summary", "More"), markdown(rest)) if rest else ""
        about = join((markdown(first), more))
    return element(
        "div.em-header",
        element("div.em-title", spec.title, role="heading", aria_level=2),
        element(
            "div.em-byline",
            element("span", facts) if facts else None,
            *(element("span.em-chip", tag) for tag in spec.tags),
        ),
        element("div.em-prose", about),
    )


def page_links(name: str, url: str) -> Markup:
    """Return links to the service's pages; empty if the server's address is unknown.

    ``url`` is the server's address for the kernel. A browser behind a proxy uses another one: in
    JupyterLab our extension corrects each link, by its ``data-easymlnb``.
    """
    links = [_link(label, pattern.format(name=name), url) for label, pattern in PAGES.items()]
    nav = element("nav.em-page-links", join(links, " "), aria_label="Pages of this service")
    return nav if url else Markup()


def assistant_link(name: str, url: str) -> Markup:
    """Return a link to the page that says how assistants use a service; see ``page_links``."""
    if not url:
        return Markup()
    return element("p", _link("Use from an assistant", f"services/{name}/assistant", url))


def _link(label: str, path: str, url: str) -> Markup:
    return element(
        "a",
        label,
        href=f"{url}easymlnb/{path}",
        data_easymlnb=path,
        target="_blank",
        rel="noopener",
    )
