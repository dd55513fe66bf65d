"""Manifests: valid for what reads them, with probes, and without any secret."""

import copy
import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import nbformat
import pytest
import yaml
from cloudcoil.models.knative_serving.serving.v1 import Service as KnativeService
from typer.testing import CliRunner, Result

from easymlnb.cli.app import app
from easymlnb.exporting.names import check_image, dns_label
from easymlnb.publishing.bundle import build_bundle
from support.kserve_schema import InferenceService
from support.notebooks import make_notebook

CODE = """
import easymlnb as ml

@ml.service(gpu=0.5)
def roll_dice(sides: int = 6) -> int:
    return sides
"""
TWO = f"{CODE}\n@ml.service\ndef size(file: ml.File) -> int:\n    return 1\n"
TOKEN = "a-token-that-must-not-be-in-a-manifest"
KINDS = ("kubernetes", "knative", "kserve")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for name, code in (("one", CODE), ("two", TWO)):
        nbformat.write(make_notebook(code), folder / f"{name}.ipynb")
        (folder / f"{name}.zip").write_bytes(build_bundle(folder / f"{name}.ipynb").data)
    return folder


def export(kind: str, bundle: Path | str, *options: str) -> Result:
    command = ["export", kind, str(bundle), "--image", "registry.example.org/roll:3", *options]
    return CliRunner().invoke(app, command, env={"EASYMLNB_TOKEN": TOKEN})


def documents(kind: str, bundle: Path | str, *options: str) -> list[dict[str, Any]]:
    done = export(kind, bundle, *options)
    assert done.exit_code == 0, done.output
    assert TOKEN not in done.output
    return list(yaml.safe_load_all(done.stdout))


def container(document: dict[str, Any]) -> dict[str, Any]:
    spec = document["spec"]
    pod = spec["predictor"] if "predictor" in spec else spec["template"]["spec"]
    found: dict[str, Any] = pod["containers"][0]
    return found


def check_knative(document: dict[str, Any]) -> None:
    """Compare a document with what a Knative client makes of it; unknown keys would be missing."""
    document = copy.deepcopy(document)
    # This client cannot read a quantity that is a whole number.
    container(document)["resources"]["limits"].pop("nvidia.com/gpu")
    read = KnativeService.model_validate(document)
    assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == document


@pytest.mark.parametrize("options", [(), ("--trust-cluster",), ("--credentials", "passwords")])
def test_kubernetes_objects_are_valid(folder: Path, options: tuple[str, ...]) -> None:
    found = documents("kubernetes", folder / "one.zip", *options)
    kinds = ["Deployment", "Service", "HorizontalPodAutoscaler"]
    kinds += ["NetworkPolicy"] if options == ("--trust-cluster",) else []
    assert [one["kind"] for one in found] == kinds
    for one in found:
        kubernetes_validate.validate(one, "1.30", strict=True)
    pod = found[0]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > 25 + 5
    assert pod["automountServiceAccountToken"] is False
    selected = found[1]["spec"]["selector"].items()
    assert selected <= found[0]["spec"]["template"]["metadata"]["labels"].items()


def test_a_misspelled_key_would_be_found(folder: Path) -> None:
    deployment = documents("kubernetes", folder / "one.zip")[0]
    container(deployment)["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.30", strict=True)


def test_knative_service_is_valid(folder: Path) -> None:
    found = documents("knative", folder / "one.zip", "--min", "0")[0]
    check_knative(found)
    scaling = found["spec"]["template"]["metadata"]["annotations"]
    assert scaling["autoscaling.knative.dev/min-scale"] == "0"
    assert "lifecycle" not in container(found)  # Knative refuses it
    assert "traffic" not in found["spec"]
    canary = ("--canary", "10", "--previous", "roll-dice-00002")
    divided = documents("knative", folder / "one.zip", *canary)[0]
    check_knative(divided)
    assert [one["percent"] for one in divided["spec"]["traffic"]] == [10, 90]


@pytest.mark.parametrize(
    ("mode", "options"), [("Standard", ()), ("Knative", ("--canary", "10", "--min", "0"))]
)
def test_inference_service_is_valid(folder: Path, mode: str, options: tuple[str, ...]) -> None:
    found = documents("kserve", folder / "one.zip", "--mode", mode, *options)[0]
    InferenceService.model_validate(found)
    assert container(found)["name"] == "kserve-container"
    assert found["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == mode
    assert found["spec"]["predictor"].get("canaryTrafficPercent") == (10 if options else None)


@pytest.mark.parametrize("kind", KINDS)
def test_probes_secrets_and_rights(folder: Path, kind: str) -> None:
    found = container(documents(kind, folder / "one.zip", "--credentials", "passwords")[0])
    paths = {name: found[name]["httpGet"]["path"] for name in found if name.endswith("Probe")}
    assert paths == {
        "startupProbe": "/health/ready",
        "readinessProbe": "/health/ready",
        "livenessProbe": "/health/live",
    }
    start = found["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] == 600
    variables = {one["name"]: one for one in found["env"]}
    key = {"secretKeyRef": {"name": "roll-dice-token", "key": "token"}}
    assert variables["EASYMLNB_TOKEN"] == {"name": "EASYMLNB_TOKEN", "valueFrom": key}
    assert "EASYMLNB_TRUST_CLUSTER" not in variables
    assert {one["name"] for one in found["volumeMounts"]} == {"tmp", "home", "credentials"}
    rights = found["securityContext"]
    assert rights["runAsNonRoot"] and rights["runAsUser"] and rights["readOnlyRootFilesystem"]
    assert found["resources"]["limits"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize("kind", KINDS)
def test_trust_is_explicit(folder: Path, kind: str) -> None:
    found = container(documents(kind, folder / "one.zip", "--trust-cluster")[0])
    assert {one["name"] for one in found["env"]} == {"EASYMLNB_DRAIN", "EASYMLNB_TRUST_CLUSTER"}


def test_oscar_service(folder: Path, tmp_path: Path) -> None:
    command = ("--trust-cluster", "--service", "size", "--parameter", "file")
    done = export("oscar", folder / "two.zip", *command, "-o", str(tmp_path))
    assert done.exit_code == 0, done.output
    fdl = yaml.safe_load((tmp_path / "service.yaml").read_text())
    service = fdl["functions"]["oscar"][0]["oscar-cluster"]
    assert service["expose"]["default_command"] is True
    assert service["expose"]["health_path"] == "/system/services/two/exposed/health/ready"
    variables = service["environment"]["variables"]
    assert variables["EASYMLNB_BASE_URL"] == "/system/services/two/exposed/"
    script = tmp_path / service["script"]
    assert script.stat().st_mode & stat.S_IXUSR
    assert subprocess.run(["sh", "-n", str(script)]).returncode == 0
    assert 'easymlnb call size file=@"$INPUT_FILE_PATH"' in script.read_text()
    assert '"$TMP_OUTPUT_DIR/${file}.json"' in script.read_text()
    again = export("oscar", folder / "two.zip", *command, "-o", str(tmp_path))
    assert again.exit_code == 1 and "exists already" in again.output


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("kubernetes", ("--name", "Roll_Dice"), "is not a DNS label"),
        ("kubernetes", ("--name", "x" * 64), "at most 63"),
        ("kserve", ("--name", "x" * 54), "at most 53"),
        ("kubernetes", ("--namespace", "a b"), "namespace 'a b' is not a DNS label"),
        ("kubernetes", ("--image", "Upper/Case"), "Invalid name of an image"),
        ("kubernetes", ("--secret", TOKEN.upper()), "not its content"),
        ("kubernetes", ("--memory", "much"), "Invalid --memory"),
        ("kubernetes", ("--min", "4"), "--max 3 is less than --min 4"),
        ("kubernetes", ("--min", "0"), "cannot scale to zero"),
        ("kubernetes", ("--trust-cluster", "--secret", "x"), "Leave out --secret"),
        ("kserve", ("--mode", "Serverless"), "Use one of: Standard, Knative"),
        ("kserve", ("--canary", "10"), "only in its Knative mode"),
        ("kserve", ("--min", "0"), "only in its Knative mode"),
        ("knative", ("--canary", "10"), "belong together"),
        ("oscar", (), "Add --trust-cluster"),
        ("oscar", ("--trust-cluster",), "Use --parameter"),
        ("oscar", ("--trust-cluster", "--service", "nosuch"), "Use --service with one of"),
        ("oscar", ("--trust-cluster", "--credentials", "x"), "has no --credentials"),
    ],
)
def test_wrong_options_are_explained(
    folder: Path, kind: str, options: tuple[str, ...], message: str
) -> None:
    done = export(kind, folder / "one.zip", *options)
    assert done.exit_code == 1, done.output
    assert message in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_wrong_bundles_are_explained(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    for bundle, message in (
        (tmp_path / "nosuch.zip", "There is no file"),
        (tmp_path / "broken.zip", "zip"),
        ("roll@", "is not NAME@VERSION"),
    ):
        done = export("kubernetes", bundle)
        assert done.exit_code == 1 and message in done.output, done.output


def test_files_are_not_overwritten(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "roll.yaml"
    assert export("kubernetes", folder / "one.zip", "-o", str(file)).exit_code == 0
    before = file.read_text()
    again = export("kubernetes", folder / "one.zip", "-o", str(file), "--max", "9")
    assert again.exit_code == 1 and "File exists" in again.output
    assert file.read_text() == before


def test_json_is_for_scripts(folder: Path) -> None:
    done = export("kubernetes", folder / "one.zip", "--json")
    assert json.loads(done.stdout)[0]["kind"] == "Deployment"


def test_names() -> None:
    assert dns_label("roll_dice") == "roll-dice"
    assert dns_label("3 Würfel!") == "service-3-w-rfel"
    assert dns_label("x_" * 50, 10) == "x-x-x-x-x"
    for image in ("x", "a/b:c", "localhost:5000/a/b@sha256:" + "0" * 64):
        assert check_image(image) == image
