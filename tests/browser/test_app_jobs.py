"""A call of an app page that runs in the background, and the page that is reloaded meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import visit
from support.notebooks import make_notebook
from support.page_channel import open_page, pass_of
from support.server import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)

SERVICES = """
import time
from pathlib import Path
import easymlnb as ml

@ml.service(timeout=120)
def patient(folder: str, file: ml.File | None = None) -> str:
    ml.progress(0.4, "halfway through")
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return "patience pays"

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
    with running_server(folder, make_notebook(SERVICES), app_kernels=1) as server:
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
