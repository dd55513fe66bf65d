"""Jobs on nodes of a real Slurm: nodes that end, servers that are killed, and what is left."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from support.hub import slurm
from support.hub.hub import Hub, User
from support.hub.slurm import Cluster
from support.hub.trainings import SOURCE, Training, expected
from support.notebooks import make_notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

USER = "gina"


def slurm_job(hub: Hub, node: str = "") -> str:
    """Return the job of a node, or of the user's own server."""
    model = hub.server(USER, node)
    assert model is not None
    return str(model["state"]["job_id"])


def server_process(hub: Hub) -> int:
    """Return the process of the user's own server."""
    for process in slurm.processes(slurm_job(hub)):
        if "singleuser" in " ".join(process.cmdline()):
            return process.pid
    raise AssertionError("the user's server does not run")


@pytest.fixture(scope="module")
def gina(
    slurm_hub: Hub, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[User]:
    made = slurm_hub.serve(USER)
    path = tmp_path_factory.mktemp("fit") / "fit.ipynb"
    found = made.publish(make_notebook(SOURCE), path)
    assert found["state"] == "ready", found.get("error")
    before = len(cluster.jobs())
    yield made
    for name in [name for name in slurm_hub.servers(USER) if name] + [""]:
        slurm_hub.stop_server(USER, name)
    slurm_hub.wait_for(lambda: len(cluster.jobs()) < before, "jobs were left in the queue")


@pytest.mark.nightly
def test_trainings_survive_their_nodes_and_their_server(
    slurm_hub: Hub, cluster: Cluster, gina: User, tmp_path: Path
) -> None:
    one, two, short = (
        Training(gina, tmp_path / name, lane, steps=30, seed=seed)
        for name, lane, seed in (("a", "train", 1), ("b", "train", 2), ("c", "short", 3))
    )
    for training in (one, two, short):
        training.reach(3)
        training.wait_checkpoint(1)
    nodes = [name for name in slurm_hub.servers(USER) if name.startswith("easymlnb-gpu")]
    assert len(nodes) == 2 and all(len(gina.kernels(node)) == 1 for node in nodes)
    # One node is canceled, which lets its job leave; the other one dies.
    first, second = (slurm.job_of(psutil.Process(one.taken[-1][2])) for one in (one, two))
    assert {first, second} == {slurm_job(slurm_hub, node) for node in nodes}
    cluster.run("scancel", first)
    slurm.kill(second)
    for training in (one, two):
        training.reach(6)
        assert training.outcomes == ["preempted", ""]
    # The canceled one saved its last state.
    assert next(step for attempt, step, _ in one.taken if attempt == 2) == 4
    # The time of the short node is over.
    slurm_hub.wait_for(lambda: "preempted" in short.outcomes, f"it stays: {short.row}")
    short.allow(short.steps)
    os.kill(server_process(slurm_hub), signal.SIGKILL)
    attempts = [training.attempt for training in (one, two)]
    for training in (one, two):
        training.allow(15)
    slurm_hub.wait_for(lambda: "" not in slurm_hub.servers(USER), "the Hub did not notice")
    slurm_hub.serve(USER)
    for training in (one, two):
        slurm_hub.wait_for(lambda one=training: one.row["progress"] == 0.5, "it is not adopted")
    # All connections go through the proxy.
    os.kill(slurm_hub.proxy, signal.SIGKILL)
    for training in (one, two):
        training.allow(20)
        slurm_hub.wait_for(lambda one=training: at_step(one) == 20, "it is not reached again")
    for training in (one, two, short):
        assert training.finish() == expected(training.steps, training.seed)
        assert set(training.outcomes) == {"preempted", "succeeded"}
    assert [training.attempt for training in (one, two)] == attempts


def limits(cluster: Cluster) -> list[str]:
    """Return Slurm's time limits of the user's servers and nodes."""
    return cluster.run("squeue", "-h", "-n", f"hub-{USER}", "-o", "%l").split()


def submit(gina: User, lane: str, folder: Path, saves: bool, **query: Any) -> str:
    values = {"folder": str(folder), "saves": saves}
    path = "services/careless/jobs"
    answer = gina.http.post(path, json=values, params={"lane": lane, **query})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.nightly
def test_a_node_is_requested_for_the_time_of_its_job(
    slurm_hub: Hub, cluster: Cluster, gina: User, tmp_path: Path
) -> None:
    ids = [submit(gina, "timed", tmp_path, False, timeout=60)]
    slurm_hub.wait_for(lambda: "16:00" in limits(cluster), f"not its time: {limits(cluster)}")
    ids.append(submit(gina, "timed", tmp_path, False))  # the server's maximum is a day
    slurm_hub.wait_for(lambda: "8:00:00" in limits(cluster), f"not its time: {limits(cluster)}")
    slurm_hub.wait_for((tmp_path / "False").exists, "it does not begin")
    (tmp_path / "go").touch()
    for id in ids:
        slurm_hub.wait_for(lambda id=id: ended(gina, id)["state"] == "succeeded", "it does not end")
    # The next job may need more time, so the node ends with its job.
    slurm_hub.wait_for(lambda: "16:00" not in limits(cluster), "its node is left")


@pytest.mark.nightly
def test_slurm_ends_a_job_that_pays_no_attention(
    slurm_hub: Hub, cluster: Cluster, gina: User, tmp_path: Path
) -> None:
    saved, unsaved = (submit(gina, "minute", tmp_path, saves) for saves in (True, False))
    for name in ("True", "False"):
        slurm_hub.wait_for((tmp_path / name).exists, "it does not begin")
    assert limits(cluster).count("1:00") == 2
    slurm_hub.wait_for(
        lambda: all(ended(gina, id)["state"] in ("succeeded", "failed") for id in (saved, unsaved)),
        "Slurm did not end them",
        240,
    )
    done = ended(gina, saved)
    assert (done["state"], done["attempts"][0]["outcome"]) == ("succeeded", "preempted"), done
    assert gina.http.get(f"jobs/{saved}/result").json() == 7
    done = ended(gina, unsaved)
    assert done["state"] == "failed", done
    assert "ended before the job had saved a checkpoint" in done["error"]["message"]


def ended(gina: User, id: str) -> dict[str, Any]:
    found: dict[str, Any] = gina.http.get(f"jobs/{id}", params={"wait": 5}).json()
    return found


def at_step(training: Training) -> int:
    """Return the step that the job shows, 0 while the proxy is away."""
    try:
        return round(training.row["progress"] * training.steps)
    except (httpx.TransportError, ValueError, KeyError):
        return 0


def test_nothing_is_left_of_a_canceled_job(slurm_hub: Hub, gina: User, tmp_path: Path) -> None:
    answer = gina.http.post("services/stubborn/jobs?lane=impatient", json={"folder": str(tmp_path)})
    id = answer.json()["id"]
    file = tmp_path / "stubborn"
    slurm_hub.wait_for(lambda: file.exists() and file.read_text(), "it did not begin")
    worker, child, gpu = file.read_text().split()
    assert gpu == "0"
    assert gina.http.post(f"jobs/{id}/cancel").status_code == 202
    ended = gina.http.get(f"jobs/{id}", params={"wait": 35}).json()
    assert ended["state"] == "cancelled"
    for pid in (worker, child):
        slurm_hub.wait_for(lambda pid=pid: not psutil.pid_exists(int(pid)), "it was left")
    slurm_hub.wait_for(
        lambda: not any(gina.kernels(n) for n in slurm_hub.servers(USER) if "gpu" in n), "a kernel"
    )


def test_a_job_tells_what_it_waits_for_or_why_it_cannot_run(
    slurm_hub: Hub, cluster: Cluster, gina: User, tmp_path: Path
) -> None:
    answer = gina.http.post("services/fit/jobs?lane=nowhere", json={})
    assert answer.status_code == 400
    assert "no placement named 'nowhere'" in answer.json()["error"]["message"]
    answer = gina.http.post("services/stubborn/jobs?lane=unknown", json={"folder": "x"})
    found = gina.http.get(f"jobs/{answer.json()['id']}", params={"wait": 30}).json()
    assert found["state"] == "failed"
    assert (
        "The Hub rejected a node with the options {'profile': 'unknown'}"
        in found["error"]["message"]
    )
    for name in [name for name in slurm_hub.servers(USER) if "gpu" in name]:
        slurm_hub.stop_server(USER, name)
    ask = ("sbatch", "-p", "gpu", "--gres=gpu:1", f"--output={tmp_path}/log", "-J", "hog")
    for _ in range(3):
        cluster.run(*ask, "--wrap", "sleep 900")
    before = cluster.jobs().count(f"hub-{USER}")
    waiting = Training(gina, tmp_path / "d", "train", steps=1, seed=1)
    try:
        slurm_hub.wait_for(
            lambda: "Pending in queue" in waiting.row["reason"], f"no reason: {waiting.row}"
        )
        assert waiting.row["state"] == "queued"
        assert gina.http.post(f"jobs/{waiting.id}/cancel").status_code == 202
        slurm_hub.wait_for(
            lambda: cluster.jobs().count(f"hub-{USER}") == before, "its place was left"
        )
    finally:
        cluster.run("scancel", "--name=hog")
