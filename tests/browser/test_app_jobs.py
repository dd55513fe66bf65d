"""A call of an app page that runs in the background, and the page that is reloaded meanwhile."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.browser import visit
from support.notebooks import make_notebook
from support.page_channel import open_page, pass_of
from support.server import RunningServer, running_server
from support.webhook_receiver import receiving

pytestmark = pytest.mark.timeout(300)

SERVICES = """
import time
from collections.abc import Iterator
from pathlib import Path
import easymlnb as ml

@ml.service(timeout=120)
def patient(folder: str, file: ml.File | None = None) -> str:
    ml.progress(0.4, "halfway through")
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return "patience pays"

@ml.service(public=True, timeout=120)
def shown(folder: str, file: ml.File | None = None) -> str:
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return "for all"

@ml.service
def steady(folder: str) -> str:
    with (Path(folder) / "runs").open("a") as file:
        file.write("run ")
    ml.progress(0.5, "in the middle")
    try:
        while not (Path(folder) / "go").exists():
            time.sleep(0.01)
    finally:
        (Path(folder) / "ended").touch()
    return "continued"

@ml.service(timeout=120)
def gradual(folder: str) -> str:
    print("it began")
    result = steady(folder)
    print("it ends")
    return result

@ml.service
def parts(folder: str) -> Iterator[str]:
    yield "the first part"
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    yield "x" * 400_000  # more than may be unread
    yield "the last part"
    (Path(folder) / "ended").touch()

@ml.service
def half(x: float, digits: int = 1) -> float:
    return round(x / 2, digits)


@ml.train(model="line")
def fit(folder: str, steps: int = 3) -> ml.Model:
    for step in range(steps):
        ml.metric("loss", 1 / (step + 1), step=step)
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return ml.Model(Path(folder) / "go", metrics={"mae": 0.125})

@ml.service
def other(file: ml.File | None = None) -> int:
    return 1
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("app-jobs")
    options = ("--EasyMLNB.webhook_hosts=localhost", "--EasyMLNB.webhook_hosts=127.0.0.1")
    notebook = make_notebook(SERVICES)
    with running_server(folder, notebook, app_kernels=1, options=options) as server:
        yield server


def test_a_job_survives_a_reload(apps: RunningServer, chromium: Any, tmp_path: Path) -> None:
    with visit(chromium, apps, user=True) as ann:
        page = ann.open("apps/patient")
        page.get_by_label("Folder").fill(str(tmp_path))
        page.get_by_role("button", name="Run in background").click()
        page.get_by_text("halfway through").wait_for(timeout=90_000)
        page.get_by_role("link", name="Open job").wait_for()
        page.reload()
        page.get_by_text("halfway through").wait_for(timeout=90_000)
        (tmp_path / "go").touch()
        page.get_by_role("button", name="Show result").click(timeout=60_000)
        page.get_by_text("patience pays").first.wait_for()
        page.get_by_role("button", name="Remove").click()
        page.locator(".em-job").wait_for(state="detached")


def running(visitor: Any, service: str, folder: Path) -> Any:
    """Open the app page of a service and start a call; returns the page in the middle of it."""
    page = visitor.open(f"apps/{service}")
    page.get_by_label("Folder").fill(str(folder))
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("in the middle").wait_for()
    return page


def test_a_running_call_becomes_a_job_and_is_not_run_again(
    apps: RunningServer, chromium: Any, tmp_path: Path
) -> None:
    with visit(chromium, apps, user=True) as ann:
        page = running(ann, "gradual", tmp_path)
        page.get_by_role("button", name="Run in background").click()
        page.get_by_text("The call continues as the job").wait_for(timeout=60_000)
        page.get_by_role("link", name="Open job").wait_for()
        page.reload()
        page.get_by_role("link", name="Open job").wait_for(timeout=60_000)
        (tmp_path / "go").touch()
        page.get_by_role("button", name="Show result").click(timeout=60_000)
        page.get_by_text("continued").first.wait_for()
    assert (tmp_path / "runs").read_text() == "run "
    (job,) = apps.http.get("jobs", params={"service": "gradual"}).json()["jobs"]
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert apps.http.get(f"jobs/{job['id']}/log").text == "it began\nit ends\n"


@pytest.mark.nightly
def test_the_page_of_a_job_follows_it_over_a_restart(
    apps: RunningServer, chromium: Any, tmp_path: Path
) -> None:
    values = {"folder": str(tmp_path)}
    id = apps.http.post("services/gradual/jobs", json=values).json()["id"]
    with visit(chromium, apps, user=True) as ann:
        page = ann.open(f"jobs/{id}/page", wait=False)
        page.locator("#log", has_text="it began").wait_for(timeout=90_000)
        apps.stop(signal.SIGKILL)
        apps.start()
        (tmp_path / "go").touch()
        page.locator("#log", has_text="it ends").wait_for(timeout=90_000)
        page.locator("#job").get_by_text("succeeded").first.wait_for()
        assert page.locator("#log").text_content() == "it began\nit ends\n"


def test_a_call_goes_on_without_its_page(
    apps: RunningServer, chromium: Any, tmp_path: Path
) -> None:
    with visit(chromium, apps, user=True) as ann:
        page = running(ann, "steady", tmp_path)
        page.reload()
        page.get_by_text("in the middle").wait_for()
        assert page.get_by_label("Folder").input_value() == str(tmp_path)
        page.goto("about:blank")  # as a phone does that needs the memory
        (tmp_path / "go").touch()
        apps.wait_for((tmp_path / "ended").exists, "the call was stopped")
        page.go_back()
        page.get_by_text("continued").first.wait_for()
        (tmp_path / "go").unlink()
        (tmp_path / "ended").unlink()
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("in the middle").wait_for()
        ann.context.set_offline(True)
        (tmp_path / "go").touch()
        apps.wait_for((tmp_path / "ended").exists, "the call was stopped")
        ann.context.set_offline(False)
        page.locator(".em-history li").nth(1).wait_for()
        page.reload()  # nothing runs now
        page.locator(".em-history li").nth(1).wait_for()
        assert page.locator(".em-running").count() == 0
    assert (tmp_path / "runs").read_text() == "run run "


def test_a_stream_goes_on_without_its_page(
    apps: RunningServer, chromium: Any, tmp_path: Path
) -> None:
    with visit(chromium, apps, user=True) as ann:
        page = ann.open("apps/parts")
        page.get_by_label("Folder").fill(str(tmp_path))
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("the first part").first.wait_for()
        page.reload()
        page.get_by_text("the first part").first.wait_for()
        page.goto("about:blank")
        (tmp_path / "go").touch()
        apps.wait_for((tmp_path / "ended").exists, "the stream waits for its page")
        page.go_back()
        page.get_by_text("the first part").first.wait_for()
        page.get_by_text("the last part").first.wait_for()


def test_a_stop_reaches_a_call_that_was_taken_up(
    apps: RunningServer, chromium: Any, tmp_path: Path
) -> None:
    with visit(chromium, apps, user=True) as ann:
        page = running(ann, "steady", tmp_path)
        page.reload()
        page.get_by_text("in the middle").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped").first.wait_for()
        apps.wait_for((tmp_path / "ended").exists, "the call runs on")


def test_a_training_shows_its_curve_and_its_model_is_used(
    apps: RunningServer, chromium: Any, tmp_path: Path
) -> None:
    with visit(chromium, apps, user=True) as ann:
        page = ann.open("apps/fit")
        page.get_by_label("Folder").fill(str(tmp_path))
        page.get_by_role("button", name="Train", exact=True).click()
        page.get_by_role("img", name="Curve of loss 0.3333 at step 2").wait_for(timeout=90_000)
        page.reload()
        page.get_by_role("img", name="Curve of loss 0.3333 at step 2").wait_for(timeout=90_000)
        (tmp_path / "go").write_text("weights")
        page.get_by_role("button", name="Use this one").click(timeout=60_000)
        page.get_by_text("version 1 of the model line, now in production").wait_for()
        page.get_by_role("button", name="Show result").click()
        page.get_by_text("0.125").first.wait_for()
    assert apps.http.get("models/line").json()["aliases"] == {"production": 1}
    (job,) = apps.http.get("jobs", params={"kind": "train"}).json()["jobs"]
    assert apps.http.get(f"jobs/{job['id']}/files/model/go").content == b"weights"


def test_a_page_reads_and_cancels_jobs_of_its_service_only(
    apps: RunningServer, tmp_path: Path
) -> None:
    own, foreign = (open_page(apps, apps.http, f"apps/{name}") for name in ("patient", "other"))
    headers = {"Authorization": pass_of(own), "Prefer": "respond-async"}
    answer = apps.http.post(
        "services/patient/view", json={"folder": str(tmp_path)}, headers=headers
    )
    assert answer.status_code == 202, answer.text
    url = f"jobs/{answer.json()['id']}"
    for name, path in (("GET", url), ("GET", f"{url}/result"), ("POST", f"{url}/cancel")):
        refused = apps.http.request(name, path, headers={"Authorization": pass_of(foreign)})
        assert refused.status_code == 404, path
    for name, path in (("DELETE", url), ("GET", f"{url}/log"), ("POST", f"{url}/retry")):
        assert apps.http.request(name, path, headers=headers).status_code == 403, path
    # On a personal server, the job of a page is one of its user's.
    assert apps.http.get(url).json()["service"] == "patient"
    assert apps.http.post(f"{url}/cancel", headers=headers).status_code == 202
    ended = apps.http.get(url, params={"wait": 30}, headers=headers)
    assert ended.json()["state"] == "cancelled"


def test_a_visitor_runs_in_the_background(apps: RunningServer, tmp_path: Path) -> None:
    base = {"base_url": apps.http.base_url, "timeout": 60}
    with httpx.Client(**base) as ann, httpx.Client(**base) as bob:
        own, foreign = (pass_of(open_page(apps, one, "public/shown")) for one in (ann, bob))
        headers = {"Authorization": own, "Prefer": "respond-async"}
        values = {"folder": str(tmp_path)}
        answer = ann.post(
            "services/shown/view?attempts=3&timeout=999", json=values, headers=headers
        )
        assert answer.status_code == 202, answer.text
        url = f"jobs/{answer.json()['id']}"
        for path in (url, f"{url}/result"):
            assert bob.get(path, headers={"Authorization": foreign}).status_code == 404
        assert bob.post(f"{url}/cancel", headers={"Authorization": foreign}).status_code == 404
        for path in (f"{url}/page", f"{url}/log", "jobs", "schedules", "webhooks"):
            assert ann.get(path, headers=headers).status_code in (302, 401, 403), path
        (tmp_path / "go").touch()
        ended = ann.get(url, params={"wait": 60}, headers=headers).json()
        assert ended["state"] == "succeeded" and ended["expires"] < ended["ended"] + 90_000
        assert "for all" in ann.get(f"{url}/result", headers=headers).text
        # Without a page, nobody could find the job again.
        refused = bob.post("services/shown/call", json=values, headers={"Prefer": "respond-async"})
        assert refused.status_code == 403


def test_schedules_and_webhooks_on_their_pages(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps, user=True) as ann, receiving() as receiver:
        page = ann.open("jobs/page", wait=False)
        page.get_by_role("link", name="Schedules").click()
        page.get_by_label("Service", exact=True).fill("other")
        page.get_by_label("When").fill("0 0 30 2 *")
        page.get_by_role("button", name="Add schedule").click()
        page.get_by_role("alert").get_by_text("0 0 30 2 *").wait_for()
        page.get_by_label("When").fill("0 6 * * 1-5")
        page.get_by_label("Time zone").fill("Europe/Berlin")
        page.get_by_role("button", name="Add schedule").click()
        page.get_by_text("06:00").first.wait_for()
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("paused").wait_for()
        page.get_by_role("button", name="Resume").wait_for()
        page.goto(f"{apps.url}easymlnb/webhooks/page")
        page.get_by_label("URL or address").fill("https://hooks.example.org/")
        page.get_by_role("button", name="Add webhook").click()
        page.get_by_role("alert").get_by_text("webhook_hosts").wait_for()
        page.get_by_label("URL or address").fill(receiver.url)
        page.get_by_role("button", name="Add webhook").click()
        page.get_by_text("whsec_").wait_for()
        receiver.answers = [500]
        page.get_by_role("button", name="Send test").click()
        apps.wait_for(lambda: receiver.messages, "nothing was sent")
        page.reload()
        assert page.get_by_text("whsec_").count() == 0
        page.get_by_text("status 500").wait_for()
        page.get_by_role("button", name="Retry").click()
        apps.wait_for(lambda: len(receiver.messages) == 2, "it was not tried again")
        page.evaluate("window.confirm = () => true")
        page.get_by_role("button", name="Remove").click()
        page.get_by_text("You have no webhooks.").wait_for()


def test_a_table_without_code(apps: RunningServer, chromium: Any, tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("id,x\nann,3\nbob,no\n")
    with visit(chromium, apps, user=True) as ann:
        page = ann.open("services/half/page", wait=False)
        page.get_by_role("link", name="Run on a table").click()
        page.get_by_label("File").set_input_files(table)
        page.get_by_role("button", name="Run", exact=True).click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download results").click()
        assert download.value.suggested_filename == "people-results.csv"
        assert download.value.path().read_text() == "id,x,result\nann,3,1.5\nbob,no,\n"
        page.reload()
        page.get_by_text("2 of 2 rows, 1 failed").first.wait_for()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download errors").click()
        assert "invalid_input" in download.value.path().read_text()
        page.get_by_label("File").set_input_files(
            {"name": "x.csv", "mimeType": "text/csv", "buffer": b"y\n1\n"}
        )
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Column 'x' is missing. The table has: 'y'.").wait_for()


def test_the_page_of_a_sweep_draws_its_results(apps: RunningServer, chromium: Any) -> None:
    sent = apps.http.post("services/half/sweeps", json={"grid": {"x": [1, 2], "digits": [0, 1]}})
    with visit(chromium, apps, user=True) as ann:
        page = ann.open(f"jobs/{sent.json()['id']}/page", wait=False)
        page.get_by_role("heading", name="Sweep of half").wait_for()
        page.locator("#plot svg[aria-label='result over x and digits'] rect").nth(3).wait_for(
            state="attached"
        )
        assert page.locator("#trials tbody tr").count() == 4
        page.get_by_role("link", name="CSV", exact=True).wait_for()
