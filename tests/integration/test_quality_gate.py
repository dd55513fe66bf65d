"""The quality gate on a real server: required by its administrator, and asked for by authors."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from easymlnb.publishing.bundle import build_bundle
from support.notebooks import make_notebook
from support.server import RunningServer, free_port

pytestmark = pytest.mark.timeout(300)

EASYMLNB = [sys.executable, "-c", "from easymlnb.cli import main; main()"]
TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
SERVICE = '''
import easymlnb as ml

@ml.service(title="Die", examples=[{{"sides": 3}}], license="MIT", author="Ann", tags=["dice"],
            metadata={{"source": "https://example.org/code", "tasks": ["Regression"],
                      "libraries": ["numpy"], "dataset": "https://example.org/data"}})
def {name}(sides: int = 6) -> int:
    """Roll a die."""
    return sides
'''
ADVISORY = {
    "id": "GHSA-test",
    "summary": "It leaks.",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "leaky"}, "versions": ["1.0"]}],
}


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("gated")
    advisories = folder / "advisories.json"
    advisories.write_text(json.dumps([ADVISORY]))
    options = (
        "--EasyMLNB.quality_gate=required",
        "--EasyMLNB.gate_severities=ruff:F401=info",
        f"--EasyMLNB.gate_advisories={advisories}",
    )
    server = RunningServer(folder, free_port(), options=options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def refused(server: RunningServer, *cells: str, requirements: tuple[str, ...] = ()) -> dict:
    path = server.root / "refused.ipynb"
    nbformat.write(make_notebook(*cells), path)
    data = build_bundle(path, requirements=requirements or None).data
    answer = server.http.post(
        "services",
        content=data,
        headers={"Content-Type": "application/zip"},
        params={"gate": "true", "severity": ["bandit=ignore", "secrets=ignore"]},
    )
    assert answer.status_code == 422, answer.text
    return answer.json()["error"]


def test_required_gate_refuses_before_anything_runs(gated: RunningServer) -> None:
    marker = gated.root / "ran"
    cells = (
        SERVICE.format(name="gate_bad"),
        f"open({str(marker)!r}, 'w').close()\nimport os, sys\nos.system(input())\nt = '{TOKEN}'",
    )
    error = refused(gated, *cells, requirements=("leaky==1.0",))
    assert error["code"] == "quality_gate_failed"
    found = {
        (one["check"], one["code"]): (one["severity"], one.get("cell"), one.get("line"))
        for one in error["details"]["quality"]["findings"]
    }
    # An author cannot lower severities here; the administrator can.
    assert found["bandit", "B605"] == ("error", 1, 3)
    assert found["secrets", "github-token"] == ("error", 1, 4)
    assert found["ruff", "F401"] == ("info", 1, 2)
    assert found["dependencies", "GHSA-test"] == ("error", None, None)
    assert not marker.exists()
    assert gated.http.get("services/gate_bad").status_code == 404


def test_printed_secrets_are_found_after_the_notebook_ran(gated: RunningServer) -> None:
    cell = "print(''.join(reversed('9876543210zyxwvutsrqponmlkjihgfedcba_phg')))"
    found = gated.publish(make_notebook(SERVICE.format(name="gate_prints"), cell), "prints.ipynb")
    assert (found["state"], found["error"]["code"]) == ("failed", "quality_gate_failed")
    (one,) = [one for one in found["quality"]["findings"] if one["severity"] == "error"]
    assert (one["code"], one["cell"], one["output"]) == ("github-token", 1, True)


def test_cli_publishes_what_passes_and_lists_show_it(gated: RunningServer) -> None:
    path = gated.root / "good.ipynb"
    nbformat.write(make_notebook(SERVICE.format(name="gate_good"), "import sys"), path)
    command = [*EASYMLNB, "publish", str(path), "--gate", "--json"]
    target = ["--url", f"{gated.url}easymlnb/", "--token", gated.token]
    done = subprocess.run([*command, *target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    quality = json.loads(done.stdout)["quality"]
    assert quality["counts"] == {"error": 0, "warning": 0, "info": 2}
    assert quality["checks"]["examples"] == "1 run"
    assert "1 advisories of" in quality["checks"]["dependencies"]
    assert "Quality gate passed" in done.stderr
    listed = gated.http.get("services", params={"library": "NUMPY", "license": "mit"}).json()
    (one,) = listed["services"]
    assert one["quality"] == {
        "checked": quality["checked"],
        "passed": True,
        "counts": quality["counts"],
    }
    assert gated.http.get("services/gate_good/versions/1/quality").json() == quality
    page = gated.http.get("services/gate_good/page").text
    assert f"checked {quality['checked'][:10]}, 2 findings" in page
    assert gated.http.get("services/gate_good").json()["quality"] == one["quality"]


def test_the_catalog_is_exported(gated: RunningServer, tmp_path: Path) -> None:
    answer = gated.http.get("metadata")
    assert answer.headers["Content-Type"] == "application/ld+json"
    head, *nodes = answer.json()["@graph"]
    assert head["@type"] == "dcat:Catalog"
    assert "it6:MachineLearningModel" in {node["@type"] for node in nodes}
    (one,) = gated.http.get("metadata", params={"format": "ai4os"}).json()
    assert one["links"]["source_code"] == "https://example.org/code"
    wrong = gated.http.get("services/gate_good/metadata", params={"format": "rdf"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "bad_request")
    file = tmp_path / "ai4-metadata.yml"
    command = [*EASYMLNB, "metadata"]
    target = ["--url", f"{gated.url}easymlnb/", "--token", gated.token]
    export = [*command, "export", "gate_good", "--format", "ai4os", "-o", str(file), *target]
    subprocess.run(export, check=True)
    read = subprocess.run(
        [*command, "import", str(file), "--json"], capture_output=True, text=True, check=True
    )
    fields = json.loads(read.stdout)
    assert fields["tasks"] == ["Regression"]
    assert fields["source"] == "https://example.org/code"
