"""Servers of the test Hub as Slurm jobs; ``docs/deploy/slurm.md`` is for a real cluster."""

import asyncio
import os
import pwd
import shlex
import sys

import batchspawner
from batchspawner.batchspawner import JobStatus

BIN = os.path.dirname(sys.executable)


class ClusterSpawner(batchspawner.MultiSlurmSpawner):
    """batchspawner with what it lacks."""

    def user_env(self, env):
        # Only here: users of the tests have no account of the operating system.
        me = pwd.getpwuid(os.getuid())
        env.update(USER=me.pw_name, HOME=self.own_home, SHELL="/bin/bash")
        return env

    def _req_homedir_default(self):
        return self.own_home

    @property
    def own_home(self):
        home = os.path.join(os.environ["TEST_HUB_FOLDER"], "homes", self.user.name)
        os.makedirs(home, exist_ok=True)
        return home

    def cmd_formatted_for_batch(self):
        # Upstream joins with blanks, which breaks arguments with quotes or braces.
        return shlex.join([self.batchspawner_singleuser_cmd, *self.cmd, *self.get_args()])

    async def submit_batch_script(self):
        # Upstream fills the script's template with whatever the request says.
        self.user_options, kept = {}, self.user_options
        try:
            return await super().submit_batch_script()
        finally:
            self.user_options = kept

    async def start(self):
        # Upstream waits for the job's port and does not notice that the job has ended.
        work = asyncio.ensure_future(super().start())
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=1)
                if not work.done() and self.job_id:
                    status = await self.query_job_status()
                    if status == JobStatus.NOTFOUND:
                        raise RuntimeError(f"job {self.job_id} ended before its server came up")
            return work.result()
        finally:
            # Interrupted while it asks Slurm, upstream takes the job for gone, and forgets which it
            # was: nobody would end it.
            job = self.job_id
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            self.job_id = job


SCRIPT = """#!/bin/bash
#SBATCH --job-name=hub-{{username}}
#SBATCH --output={{homedir}}/slurm-%j.log
#SBATCH --chdir={{homedir}}
#SBATCH --export={{keepvars}}
#SBATCH --ntasks=1
{% if partition %}#SBATCH --partition={{partition}}
{% endif %}{% if gres %}#SBATCH --gres={{gres}}
{% endif %}{% if runtime %}#SBATCH --time={{runtime}}
{% endif %}
set -eu
exec {{cmd}}
"""


def configure(c):
    """Let the Hub start servers as jobs."""
    c.JupyterHub.spawner_class = ClusterSpawner
    c.Spawner.environment["SLURM_CONF"] = os.environ["SLURM_CONF"]
    c.BatchSpawnerBase.exec_prefix = ""
    c.BatchSpawnerBase.startup_poll_interval = 0.2
    c.BatchSpawnerBase.batchspawner_singleuser_cmd = f"{BIN}/batchspawner-singleuser"
    c.Spawner.cmd = [f"{BIN}/jupyterhub-singleuser"]
    c.SlurmSpawner.req_srun = ""
    c.SlurmSpawner.batch_script = SCRIPT
    nodes = os.environ["TEST_HUB_NODES"].split(",")
    c.MultiSlurmSpawner.daemon_resolver = dict(node.split("=") for node in nodes)
