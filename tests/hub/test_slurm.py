"""The same on a real Slurm: the queue, its refusals, and a job that is taken away."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import make_notebook
from hub.clusters import Cluster
from hub.hubs import Hub, User

pytestmark = pytest.mark.slow

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

@ml.service(placement="broken")
def nowhere() -> int:
    return 1
"""


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
    assert len(cluster.jobs()) == 2


def test_author_reads_what_slurm_says(alice: User, cluster: Cluster, tmp_path: Path) -> None:
    found = alice.publish(make_notebook(BROKEN), tmp_path / "nowhere.ipynb")
    assert found["state"] == "failed"
    assert "invalid partition specified: nope" in found["error"]["message"]
