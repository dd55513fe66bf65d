"""Jobs on nodes of a real Slurm: nodes that end, servers that are killed, and what is left."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.hub.hub import Hub, User
from support.hub.slurm import Cluster
from support.hub.trainings import SOURCE, Training, expected
from support.notebooks import make_notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

USER = "gina"


def server_process(hub: Hub) -> int:
    """Return the process of the user's own server."""
    for process in psutil.process_iter():
        try:
            found = process.environ()
            is_server = "singleuser" in " ".join(process.cmdline())
        except (psutil.Error, OSError):
            continue
        home = f"{hub.folder}/homes/{USER}"
        if is_server and found.get("HOME") == home and not found.get("JUPYTERHUB_SERVER_NAME"):
            return process.pid
    raise AssertionError("the user's server does not run")


def slurm_job(hub: Hub, node: str) -> str:
    model = hub.server(USER, node)
    assert model is not None
    return str(model["state"]["job_id"])


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
    pids = [training.taken[-1][2] for training in (one, two)]
    by_pid = {pid: node for node in nodes for pid in pids if runs_on(node, pid)}
    assert len(by_pid) == 2
    cluster.run("scancel", slurm_job(slurm_hub, by_pid[pids[0]]))
    cluster.run("scancel", "--full", "-s", "KILL", slurm_job(slurm_hub, by_pid[pids[1]]))
    for training in (one, two):
        training.reach(6)
        assert training.outcomes == ["preempted", ""]
    # The canceled one saved its last state.
    assert next(step for attempt, step, _ in one.taken if attempt == 2) == 4
    # The time of the short node is over.
    slurm_hub.wait_for(lambda: "preempted" in short.outcomes, f"it stays: {short.row}")
    os.kill(server_process(slurm_hub), signal.SIGKILL)
    attempts = [training.attempt for training in (one, two)]
    for training in (one, two):
        training.allow(15)
    slurm_hub.wait_for(lambda: "" not in slurm_hub.servers(USER), "the Hub did not notice")
    slurm_hub.serve(USER)
    for training in (one, two):
        slurm_hub.wait_for(lambda one=training: one.row["progress"] == 0.5, "it is not adopted")
    for training in (one, two, short):
        assert training.finish() == expected(training.steps, training.seed)
        assert set(training.outcomes) == {"preempted", "succeeded"}
    assert [training.attempt for training in (one, two)] == attempts


def runs_on(node: str, pid: int) -> bool:
    """Return whether a process of a worker was started by a node."""
    try:
        parents = psutil.Process(pid).parents()
        names = [one.environ().get("JUPYTERHUB_SERVER_NAME") for one in parents]
    except (psutil.Error, OSError):
        return False
    return node in names


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
