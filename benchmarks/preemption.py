"""A training that is preempted again and again on a real Slurm: the same weights, no attempt lost.

Its nodes end by their lifetime, by ``scancel`` (SIGTERM, then SIGKILL) and by SIGKILL at once, in
turns; each time the training continues on another node. At the end its weights are compared with
those of an uninterrupted run.

    python benchmarks/preemption.py [--times 20]
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.hub import slurm  # noqa: E402
from support.hub.hub import Hub, User, free_ports  # noqa: E402
from support.hub.slurm import Cluster  # noqa: E402
from support.hub.trainings import SOURCE, Training, expected  # noqa: E402
from support.notebooks import make_notebook  # noqa: E402

USER = "gina"
WAYS = ("lifetime", "SIGTERM", "SIGKILL")
STEPS = 2
"""Steps between two preemptions."""


@contextmanager
def hub() -> Iterator[tuple[Hub, Cluster]]:
    """Run a Hub on a Slurm cluster."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("slurm", "hub"):
            (folder / name).mkdir()
        cluster = Cluster(folder / "slurm", free_ports(1)[0])
        stack.callback(cluster.stop)
        cluster.start()
        made = Hub(folder / "hub", cluster.variables)
        stack.callback(made.stop)
        made.start()
        yield made, cluster


def node_of(made: Hub, user: User) -> str:
    """Return the node that runs the job."""

    def found() -> str:
        names = [name for name in made.servers(USER) if name.startswith("easymlnb-short")]
        return next((name for name in names if user.kernels(name)), "")

    return str(made.wait_for(found, "no node runs the job"))


def preempt(made: Hub, cluster: Cluster, user: User, training: Training, way: str) -> float:
    """End the node of a training; return the seconds until it takes its next step elsewhere."""
    attempt, step = training.attempt, training.taken[-1][1]
    training.wait_checkpoint(attempt)
    if way != "lifetime":
        model = made.server(USER, node_of(made, user))
        assert model is not None
        job = str(model["state"]["job_id"])
        if way == "SIGKILL":
            slurm.kill(job)
        else:
            cluster.run("scancel", job)
    made.wait_for(lambda: training.outcomes[attempt - 1], f"attempt {attempt} does not end")
    began = time.monotonic()
    training.reach(step + STEPS)
    return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    if not slurm.installed():
        print("Slurm is not installed.")
        return 1
    with hub() as (made, cluster):
        user = made.serve(USER)
        found = user.publish(make_notebook(SOURCE), made.folder / "fit.ipynb")
        assert found["state"] == "ready", found
        steps = STEPS * (options.times + 2)
        training = Training(user, made.folder / "marks", "short", steps=steps, seed=os.getpid())
        training.reach(STEPS)
        for number in range(options.times):
            way = WAYS[number % len(WAYS)]
            seconds = preempt(made, cluster, user, training, way)
            print(f"{number + 1:3} {way:9} next steps after {seconds:5.1f} s", flush=True)
        weights = training.finish()
        same = weights == expected(steps, training.seed)
        outcomes = Counter(training.outcomes)
        print(f"weights {'the same' if same else 'DIFFERENT'}; outcomes {dict(outcomes)}")
        for name in list(made.servers(USER)):
            made.stop_server(USER, name)
    return 0 if same and set(outcomes) == {"preempted", "succeeded"} else 1


if __name__ == "__main__":
    sys.exit(main())
