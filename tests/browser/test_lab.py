"""The extension in a real JupyterLab: its launcher entry, and links led to the page's address."""

import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def page(lab, chromium):
    context = chromium.new_context(viewport={"width": 1300, "height": 900})
    context.set_default_timeout(60_000)
    made = context.new_page()
    made.goto(f"{lab.url}lab/workspaces/launcher?token={lab.token}&reset")
    made.locator(".jp-Launcher").first.wait_for(timeout=90_000)
    # The launcher may be seen before all extensions are there.
    made.evaluate("async () => { await window.jupyterapp.started; }")
    yield made
    context.close()


def test_the_launcher_opens_the_catalog(page, lab):
    card = page.locator('.jp-LauncherCard[title="Open the catalog of services"]')
    card.wait_for()
    assert card.inner_text().strip() == "easymlnb"
    card.locator("svg").wait_for()
    with page.context.expect_page() as opened:
        card.click()
    opened.value.wait_for_url(f"{lab.url}easymlnb/")
    assert opened.value.get_by_role("heading", name="Services", level=1).is_visible()


def test_the_catalog_is_in_the_command_palette(page):
    commands = page.evaluate(
        "window.jupyterapp.commands.label('easymlnb:open-catalog', {isPalette: true})"
    )
    assert commands == "Open the catalog of services"


def test_the_sidebar_lists_the_services_of_the_server(page, lab):
    listed = {
        "services": [
            {"name": "roll", "title": "Roll <b>", "state": "ready", "version": 2, "live": 1}
        ]
    }
    page.evaluate("window.jupyterapp.shell.activateById('easymlnb-services')")
    sidebar = page.locator("#easymlnb-services")
    sidebar.get_by_text("No services yet.").wait_for()
    page.route("**/easymlnb/services?*", lambda route: route.fulfill(json=listed))
    sidebar.get_by_text("Roll <b>").wait_for()  # as text
    sidebar.get_by_text("ready, version 2, live").wait_for()
    with page.context.expect_page() as opened:
        sidebar.get_by_role("link", name="About").click()
    opened.value.wait_for_url(f"{lab.url}easymlnb/services/roll/page")


@pytest.mark.parametrize(
    ("path", "leads"),
    [("services/x/page", True), ("", True), ("//elsewhere.example", False), ("a:b", False)],
)
def test_links_of_forms_lead_where_the_page_is(page, lab, path, leads):
    found = page.evaluate(
        """(path) => {
            const link = document.createElement("a");
            link.href = "http://kernel.example:1/x";
            link.dataset.easymlnb = path;
            document.body.append(link);
            link.addEventListener("click", (event) => event.preventDefault());
            link.click();
            return link.href;
        }""",
        path,
    )
    assert found == (f"{lab.url}easymlnb/{path}" if leads else "http://kernel.example:1/x")


def test_the_extension_loads_without_a_complaint(lab, chromium):
    page = chromium.new_page()
    page.set_default_timeout(60_000)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{lab.url}lab/workspaces/quiet?token={lab.token}&reset")
    page.locator(".jp-Launcher").first.wait_for(timeout=90_000)
    page.close()
    assert not [text for text in said if re.search("easymlnb|Failed to create module", text)]
