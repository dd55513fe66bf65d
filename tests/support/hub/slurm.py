"""A real Slurm on one machine: three nodes, four cores each, three GPUs that are none.

Needs Debian's slurmctld, slurmd, slurm-client and, for root, munge. Nothing is written outside of
one folder, nothing runs as a service, everything is stopped by its pid.
"""

import os
import shutil
import socket
import stat
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from support.hub.networks import Network

NODES = {"cpu1": 0, "gpu1": 1, "gpu2": 2}
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel")
SBIN = "/usr/sbin"

CONF = """
ClusterName=toy
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2
KillWait=5
MinJobAge=60
DefMemPerCPU=512
{listen}
{auth}
{nodes}
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=gpu1,gpu2 MaxTime=INFINITE State=UP
"""


def installed() -> bool:
    """Say whether there is all that a cluster needs."""
    path = f"{os.environ['PATH']}:{SBIN}"
    wanted = [*PROGRAMS, *(["munged"] if os.getuid() == 0 else [])]
    return all(shutil.which(program, path=path) for program in wanted)


@dataclass
class Cluster:
    """A Slurm cluster; ``variables`` are the environment of its clients.

    In a ``network`` each node has a host name and an address of its own; else all share this host.
    """

    folder: Path
    port: int
    network: Network | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{os.environ['PATH']}:{SBIN}",
            "TEST_HUB_NODES": ",".join(f"{name}={self._address(name)}" for name in NODES),
            "TEST_HUB_SPAWNER": "slurm",
            "TEST_HUB_ADDRESS": self._address(),
        }

    def _address(self, node: str = "") -> str:
        if self.network is None:
            return "127.0.0.1"
        return self.network.address_of(node) if node else self.network.address

    def run(self, *command: str) -> str:
        """Run one of Slurm's commands and return what it prints."""
        environment = {**os.environ, **self.variables}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def jobs(self) -> list[str]:
        """Return the names of the jobs that run or wait."""
        return self.run("squeue", "-h", "-o", "%j").split()

    def start(self) -> None:
        for name in ("state", "devices", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._write()
        if os.getuid() == 0:
            self._munge()
        self._spawn("slurmctld", "-D")
        for node in NODES:
            self._spawn("slurmd", "-D", "-N", node, node=node)
        until = time.monotonic() + 180
        while self._idle() < len(NODES):
            assert time.monotonic() < until, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.1)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def _idle(self) -> int:
        try:
            return self.run("sinfo", "-h", "-N", "-o", "%N %T").count(" idle")
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return 0

    def _spawn(self, *command: str, node: str = "") -> None:
        environment = {**os.environ, **self.variables}
        whole = [str(shutil.which(command[0], path=environment["PATH"])), *command[1:]]
        if node and self.network is not None:
            whole = self.network.command(node, *whole)
        with (self.folder / "log").open("ab") as log:
            self.processes.append(subprocess.Popen(whole, env=environment, stdout=log, stderr=log))

    def _munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        names = {"pid-file": "munged.pid", "log-file": "munged.log", "seed-file": "munge.seed"}
        options = [f"--{name}={self.folder / file}" for name, file in names.items()]
        self._spawn(
            "munged", "--foreground", "--force", "--num-threads=2", f"--key-file={key}",
            f"--socket={self.folder}/munge.socket", *options,
        )  # fmt: skip
        until = time.monotonic() + 60
        while not (self.folder / "munge.socket").exists():
            assert time.monotonic() < until, "munged did not start"
            time.sleep(0.05)

    def _write(self) -> None:
        host = socket.gethostname().partition(".")[0]
        root = os.getuid() == 0
        auth = "AuthType=auth/none\nCredType=cred/none"
        if root:
            auth = "AuthType=auth/munge\nCredType=cred/munge\n"
            auth += f"AuthInfo=socket={self.folder}/munge.socket"
        nodes, gres = [], []
        for number, (name, gpus) in enumerate(NODES.items(), 1):
            at = f"NodeHostname={name if self.network else host} NodeAddr={self._address(name)}"
            said = f"NodeName={name} {at} Port={self.port + number} "
            said += f"CPUs=4 RealMemory=4000 State=UNKNOWN Feature={name[:3]}"
            nodes.append(said + (f" Gres=gpu:fake:{gpus}" if gpus else ""))
            for gpu in range(gpus):
                # Slurm names GPUs only for character devices: copies of /dev/null will do.
                device = Path(["/dev/null", "/dev/zero"][gpu])
                if root:
                    device = self.folder / "devices" / f"{name}-{gpu}"
                    os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
                gres.append(f"NodeName={name} Name=gpu Type=fake File={device}")
        user = "root" if root else os.environ.get("USER", str(os.getuid()))
        # These would have each daemon look up its own name, which only itself knows.
        listen = "" if self.network else "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny"
        text = CONF.format(
            host=host, address=self._address(), port=self.port, user=user, folder=self.folder,
            auth=auth, listen=listen, nodes="\n".join(nodes),
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text("\n".join(gres) + "\n")
        version = subprocess.run(
            [str(shutil.which("slurmctld", path=self.variables["PATH"])), "-V"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        # Slurm knows how to do without control groups from 23.02 on; v1 does nothing unless used.
        old = version.split()[-1].startswith(("21.", "22."))
        (self.folder / "cgroup.conf").write_text(
            f"CgroupPlugin={'cgroup/v1' if old else 'disabled'}\n"
        )


def job_of(process: psutil.Process) -> str:
    """Return the job that a process belongs to; empty for none."""
    with suppress(psutil.Error):
        for parent in process.parents():
            title = " ".join(parent.cmdline())
            if title.startswith("slurmstepd: ["):
                return title.partition("[")[2].partition(".")[0]
    return ""


def processes(job: str) -> list[psutil.Process]:
    """Return the processes of a job, parents first."""
    return [process for process in psutil.process_iter() if job_of(process) == job]


def kill(job: str) -> None:
    """Kill all processes of a job, without the signals that Slurm sends before."""
    for process in processes(job):
        with suppress(psutil.Error):
            process.kill()
