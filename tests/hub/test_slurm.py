"""The same on a real Slurm: the queue, its refusals, and a job that is taken away."""

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from support.hub.hub import Hub, User
from support.hub.kernels import Console
from support.hub.slurm import Cluster
from support.hub.terminal import command, running
from support.notebooks import make_notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WHERE = """
import os
import easymlnb as ml

@ml.service(placement="gpu")
def where() -> dict:
    wanted = ("SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "JUPYTERHUB_API_TOKEN")
    return {name: os.environ.get(name) for name in wanted} | {"pid": os.getpid()}
"""
BROKEN = """
import easymlnb as ml

@ml.service(placement="{placement}")
def nowhere() -> int:
    return 1
"""
LATER = """
import easymlnb as ml

@ml.service(placement="gpu")
def {name}() -> int:
    return 1
"""
QUEUED = "Pending in queue"


@pytest.fixture(scope="module")
def alice(slurm_hub: Hub, cluster: Cluster) -> Iterator[User]:
    made = slurm_hub.serve("alice")
    yield made
    for name in list(slurm_hub.servers("alice")):
        slurm_hub.stop_server("alice", name)
    slurm_hub.wait_for(lambda: not cluster.jobs(), "jobs were left in the queue")


def test_worker_runs_in_a_job_with_a_gpu(
    slurm_hub: Hub, cluster: Cluster, alice: User, tmp_path: Path
) -> None:
    found = alice.publish(make_notebook(WHERE), tmp_path / "where.ipynb")
    assert found["state"] == "ready", found.get("error")
    first = alice.call("where").json()
    assert first["CUDA_VISIBLE_DEVICES"] == "0"
    assert first["JUPYTERHUB_API_TOKEN"] is None

    # Somebody takes the job away: the service comes back in another one.
    job = slurm_hub.server("alice", "easymlnb-gpu-1")
    assert job is not None
    cluster.run("scancel", str(job["state"]["job_id"]))

    def back() -> bool:
        answer = alice.call("where")
        return answer.status_code == 200 and answer.json()["pid"] != first["pid"]

    slurm_hub.wait_for(back, "the worker did not come back")
    # A job that was taken away is in the queue for a while yet.
    slurm_hub.wait_for(lambda: len(cluster.jobs()) == 2, "the former job was left in the queue")


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        ("broken", "invalid partition specified: nope"),
        # A job that is gone before the spawner first looks at it has words of its own.
        ("dies", "ended before its server came up|has disappeared while pending in the queue"),
    ],
)
def test_author_reads_what_slurm_says(
    alice: User, cluster: Cluster, tmp_path: Path, placement: str, message: str
) -> None:
    before = len(cluster.jobs())
    source = BROKEN.format(placement=placement)
    found = alice.publish(make_notebook(source), tmp_path / "nowhere.ipynb")
    assert found["state"] == "failed"
    assert re.search(message, found["error"]["message"])
    alice.hub.wait_for(
        lambda: not [name for name in alice.hub.servers("alice") if placement in name],
        "a node was left in the Hub",
    )
    alice.hub.wait_for(lambda: len(cluster.jobs()) == before, "a job was left in the queue")


def test_a_start_that_is_called_off_still_knows_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    spawners = pytest.importorskip("support.hub.slurm_spawner")

    async def start(self: Any) -> None:
        self.job_id = "7"
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:  # as upstream does when the question to Slurm is interrupted
            self.job_id = ""
            raise RuntimeError("The Jupyter batch job has disappeared") from None

    async def run() -> str:
        made = spawners.ClusterSpawner()
        starting = asyncio.ensure_future(made.start())
        while not made.job_id:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return str(made.job_id)

    monkeypatch.setattr(spawners.batchspawner.MultiSlurmSpawner, "start", start)
    assert asyncio.run(run()) == "7"


@pytest.fixture
def where(alice: User, tmp_path: Path) -> None:
    """A service whose worker has one of the three GPUs."""
    found = alice.publish(make_notebook(WHERE), tmp_path / "where.ipynb")
    assert found["state"] == "ready", found.get("error")


@pytest.fixture
def full(slurm_hub: Hub, cluster: Cluster, tmp_path: Path) -> Iterator[list[str]]:
    """All GPUs that are free, and the one that gets free next, taken by jobs of somebody else."""
    ask = ("sbatch", "--parsable", "-p", "gpu", "--gres=gpu:1", f"--output={tmp_path}/log")
    jobs = [cluster.run(*ask, "-J", "hog", "--wrap", "sleep 900").strip() for _ in range(3)]
    yield jobs
    cluster.run("scancel", "--name=hog")
    slurm_hub.wait_for(lambda: "hog" not in cluster.jobs(), "jobs were left")


def test_ctrl_c_gives_the_place_in_the_queue_up(
    slurm_hub: Hub, cluster: Cluster, alice: User, tmp_path: Path, full: list[str]
) -> None:
    before = cluster.jobs().count("hub-alice")
    nbformat.write(make_notebook(LATER.format(name="never")), tmp_path / "never.ipynb")
    with running(alice, "publish", str(tmp_path / "never.ipynb")) as publishing:
        assert publishing.stderr is not None
        assert any(QUEUED in line for line in publishing.stderr)
        publishing.send_signal(signal.SIGINT)
        said = publishing.stderr.read()
    assert publishing.returncode == 130
    assert "Publishing was canceled" in said
    slurm_hub.wait_for(
        lambda: cluster.jobs().count("hub-alice") == before, "the job was left in the queue"
    )
    nodes = ("easymlnb-gpu-1", "easymlnb-gpu-2", "easymlnb-gpu-3")
    slurm_hub.wait_for(
        lambda: not any(slurm_hub.servers("alice").get(node, {}).get("pending") for node in nodes),
        "a node was left in the Hub",
    )


def test_a_kernel_in_the_queue_tells_of_it_and_begins_by_itself(
    slurm_hub: Hub, cluster: Cluster, alice: User, full: list[str]
) -> None:
    assert command(alice, "placement", "install", "gpu").returncode == 0
    before = set(slurm_hub.servers("alice"))
    console = Console(alice, "easymlnb-gpu")
    try:
        cell = console.begin("import os; print(os.environ['SLURMD_NODENAME'])")
        ran = console.until(cell, QUEUED)
        cluster.run("scancel", *full)
        ran = console.end(cell, ran=ran)
        assert ran.status == "ok"
        assert "gpu" in ran.text.splitlines()[-1]
    finally:
        console.close()
    slurm_hub.wait_for(lambda: set(slurm_hub.servers("alice")) <= before, "the node is not freed")


def test_what_the_queue_says_reaches_all_who_wait(
    slurm_hub: Hub, cluster: Cluster, alice: User, tmp_path: Path, where: None, full: list[str]
) -> None:
    job = slurm_hub.server("alice", "easymlnb-gpu-1")
    assert job is not None
    cluster.run("scancel", str(job["state"]["job_id"]))

    def says(path: str, text: str = QUEUED) -> bool:
        return text in alice.http.get(path).text

    slurm_hub.wait_for(lambda: says("services/where"), "the service does not say it")
    for page in ("", "services/where/page", "apps/where"):
        assert says(page), page
    listed = command(alice, "placement", "list")
    assert QUEUED in listed.stdout, listed.stdout + listed.stderr
    # A waiting call reports it, too.
    accept = {"Accept": "text/event-stream"}
    call = alice.http.stream("POST", "services/where/call", json={}, headers=accept)
    with call as events:
        waiting = next(line for line in events.iter_lines() if line.startswith("data:"))
    said = json.loads(waiting[5:])
    assert (said["state"], said["position"]) == ("starting", 1)
    assert QUEUED in said["reason"]
    assert said["seconds"] >= 1

    # The command line and a cell that publish tell it while they wait.
    nbformat.write(make_notebook(LATER.format(name="later")), tmp_path / "later.ipynb")
    with running(alice, "publish", str(tmp_path / "later.ipynb")) as publishing:
        assert publishing.stderr is not None
        assert any(QUEUED in line for line in publishing.stderr)
        publishing.kill()
    source = LATER.format(name="last")
    nbformat.write(make_notebook(source), slurm_hub.folder / "homes/alice/last.ipynb")
    console = Console(alice, "python3")
    try:
        assert console.run(source).status == "ok"
        cell = console.begin("last.publish(notebook='last.ipynb')")
        console.until(cell, QUEUED)

        # Unpublishing a waiting version removes its job from the queue.
        waiting_jobs = cluster.run("squeue", "-h", "-t", "PD", "-o", "%j").split()
        assert waiting_jobs.count("hub-alice") == 3
        # Any of them: the Hub may notice late that the first one has lost its job.
        nodes = set(slurm_hub.servers("alice"))
        assert alice.http.delete("services/where").status_code == 204
        slurm_hub.wait_for(
            lambda: cluster.jobs().count("hub-alice") == 3, "the job was left in the queue"
        )
        slurm_hub.wait_for(
            lambda: len(nodes - set(slurm_hub.servers("alice"))) == 1, "the node was left"
        )

        # A waiting version starts when a GPU is free.
        cluster.run("scancel", *full)
        assert "Published." in console.end(cell).text
    finally:
        console.close()
    assert alice.call("last").json() == 1
    for name in ("last", "later"):
        slurm_hub.wait_for(lambda name=name: alice.http.get(f"services/{name}").is_success, name)
        assert alice.http.delete(f"services/{name}").status_code == 204


@pytest.fixture
def nothing_there(slurm_hub: Hub, alice: User) -> None:
    """No service, and no node that could take one at once."""
    for service in alice.http.get("services").json()["services"]:
        assert alice.http.delete(f"services/{service['name']}").status_code in (204, 404)
    for name in [name for name in slurm_hub.servers("alice") if name]:
        slurm_hub.stop_server("alice", name)


def test_a_new_version_takes_the_place_of_the_former_one_where_the_cluster_is_full(
    slurm_hub: Hub,
    cluster: Cluster,
    alice: User,
    tmp_path: Path,
    nothing_there: None,
    where: None,
    full: list[str],
) -> None:
    first = alice.call("where").json()
    changed = WHERE.replace('"pid": os', '"changed": True, "pid": os')
    # Longer than the command line waits between two looks at the state.
    changed = f"import time\ntime.sleep(6)\n{changed}"
    path = tmp_path / "changed.ipynb"
    nbformat.write(make_notebook(changed), path)
    with running(alice, "publish", str(path)) as publishing:
        assert publishing.stderr is not None
        said = publishing.stderr.read()
    assert publishing.returncode == 0, said
    assert QUEUED in said
    assert "In use by version" in said
    assert "not enough capacity" in said
    second = alice.call("where").json()
    assert second["changed"]
    assert second["SLURM_JOB_ID"] == first["SLURM_JOB_ID"]


def test_publishing_right_after_a_job_was_cancelled(
    slurm_hub: Hub, cluster: Cluster, alice: User, tmp_path: Path, nothing_there: None, where: None
) -> None:
    found = alice.publish(make_notebook(LATER.format(name="after")), tmp_path / "after.ipynb")
    assert found["state"] == "ready", found.get("error")
    nodes = [name for name in slurm_hub.servers("alice") if name]
    for name in nodes:
        job = slurm_hub.server("alice", name)
        assert job is not None
        cluster.run("scancel", str(job["state"]["job_id"]))
    source = LATER.format(name="after").replace("return 1", "return 2")
    found = alice.publish(make_notebook(source), tmp_path / "after.ipynb")
    assert found["state"] == "ready", found.get("error")
    slurm_hub.wait_for(lambda: alice.call("where").is_success, "it did not come back")
    state = alice.http.get("services/where").json()
    assert (state["state"], state.get("error")) == ("ready", None)
