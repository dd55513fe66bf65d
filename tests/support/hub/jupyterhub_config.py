"""The Hub of the tests: real proxy, real servers, users without passwords worth the name.

Read by ``jupyterhub -f``; all it needs to know comes in ``TEST_HUB_*`` variables. With
``TEST_HUB_SPAWNER=slurm`` the servers are jobs of a toy cluster (``slurm.py`` here).
"""

import json
import os
import sys

FOLDER = os.environ["TEST_HUB_FOLDER"]
PORT, INNER, PROXY = (int(port) for port in os.environ["TEST_HUB_PORTS"].split(","))
ADDRESS = os.environ.get("TEST_HUB_ADDRESS", "127.0.0.1")

c = get_config()  # noqa: F821

c.JupyterHub.bind_url = c.JupyterHub.public_url = f"http://{ADDRESS}:{PORT}"
c.JupyterHub.hub_bind_url = f"http://{ADDRESS}:{INNER}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PROXY}"
c.ConfigurableHTTPProxy.pid_file = f"{FOLDER}/proxy.pid"
c.ConfigurableHTTPProxy.command = [os.environ["TEST_HUB_PROXY"]]
c.JupyterHub.db_url = f"sqlite:///{FOLDER}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{FOLDER}/cookie_secret"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["TEST_HUB_PASSWORD"]
c.Authenticator.allowed_users = {"alice", "bob", "carol", "erin"}
if os.environ.get("TEST_HUB_PROXY_STAYS"):
    c.ConfigurableHTTPProxy.should_start = False
c.Authenticator.admin_users = {"dora"}
c.JupyterHub.load_groups = {
    "ml": {"users": ["alice", "bob"]},
    "students": {"users": ["erin"]},
}
c.JupyterHub.allow_named_servers = True
# A start is answered at once; progress events report the rest.
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.services = [
    {"name": "tests", "api_token": os.environ["TEST_HUB_TOKEN"]},
    {"name": "prometheus", "api_token": f"{os.environ['TEST_HUB_TOKEN']}-metrics"},
]
c.JupyterHub.load_roles = [
    {
        "name": "tests",
        "scopes": [
            "admin:users",
            "admin:servers",
            "tokens",
            "access:servers",
            "read:hub",
            "admin:groups",
        ],
        "services": ["tests"],
    },
    {
        "name": "prometheus",
        "scopes": ["read:metrics", "access:services!service=easymlnb"],
        "services": ["prometheus"],
    },
]

c.Spawner.environment = {
    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
    "SECRET_OF_THE_SITE": "not for workers",
}
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 180
c.Spawner.poll_interval = 2
c.Spawner.args = ["--allow-root"] if os.getuid() == 0 else []
c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!user", "servers!user"]

PLACEMENTS = {
    "gpu": {"profile": "gpu", "idle": "10m", "max_workers": 3},
    "cpu": {"profile": "cpu", "idle": "3s", "max_workers": 2, "slots": 2},
    "broken": {"profile": "no-such-queue"},
    "dies": {"profile": "dies"},
    "slow": {"profile": "slow"},
    "unknown": {"profile": "unknown"},
    "brief": {"profile": "cpu", "idle": "3s", "lifetime": "28s", "max_workers": 2},
    "single": {"profile": "cpu"},
    "alone": {"profile": "cpu", "idle": "3s", "lifetime": "28s"},
    "short": {"profile": "cpu", "idle": "3s", "lifetime": "20s"},
    "files": {"profile": "cpu", "max_workers": 2, "slots": 2, "shared_files": True},
    "timed": {"profile": "cpu", "lifetime": "8h", "max_workers": 2, "time_option": "minutes"},
    "minute": {"profile": "cpu", "lifetime": "1m", "max_workers": 2, "time_option": "minutes"},
}
LANES = {
    "jobs": {"workers": 2},
    "train": {"workers": 3, "placement": "gpu", "idle": 0},
    "impatient": {"workers": 1, "placement": "gpu", "idle": 0, "grace": 1},
    "short": {"workers": 1, "placement": "short"},
    "timed": {"workers": 2, "placement": "timed", "idle": 0},
    "minute": {"workers": 2, "placement": "minute", "idle": 0},
    "unknown": {"workers": 1, "placement": "unknown"},
    "nowhere": {"workers": 1, "placement": "nowhere"},
}
OPTIONS = {
    "ivan": ["--EasyMLNB.orphan_timeout=2"],
    "erin": ["--EasyMLNB.orphan_timeout=180"],
    "judy": [f"--EasyMLNB.environment_wheelhouse={FOLDER}/wheelhouse"],
}
"""Additional configuration of the servers of some users."""
LEFT_OUT = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim")
SETTINGS = {
    "EasyMLNB": {"placements": PLACEMENTS, "lanes": LANES, "app_kernels": 0},
    # What these tests do not look at takes seconds of every start.
    "ServerApp": {"jpserver_extensions": dict.fromkeys(LEFT_OUT, False)},
    "ZMQChannelsWebsocketConnection": {"iopub_data_rate_limit": 1e12},
}
os.makedirs(f"{FOLDER}/settings", exist_ok=True)
with open(f"{FOLDER}/settings/jupyter_server_config.json", "w") as file:
    json.dump(SETTINGS, file)
c.Spawner.environment["JUPYTER_CONFIG_PATH"] = f"{FOLDER}/settings"
# For tests of people at work, servers with JupyterLab: profile "lab".
WITH_LAB = {**SETTINGS, "LabApp": {"expose_app_in_browser": True}} | {
    "ServerApp": {"jpserver_extensions": dict.fromkeys(LEFT_OUT, False) | {"jupyterlab": True}}
}
os.makedirs(f"{FOLDER}/lab", exist_ok=True)
with open(f"{FOLDER}/lab/jupyter_server_config.json", "w") as file:
    json.dump(WITH_LAB, file)

PROFILES = {
    "cpu": ("cpu", ""),
    "lab": ("cpu", ""),
    "gpu": ("gpu", "gpu:1"),
    "no-such-queue": ("nope", ""),
    "dies": ("cpu", ""),
    "slow": ("cpu", ""),
}


def apply_user_options(spawner, options):
    """Only profiles that have a name here; nothing of a request reaches the batch script."""
    name = options.get("profile", "cpu")
    if name not in PROFILES:
        raise ValueError(f"There is no profile {name!r} on this Hub.")
    partition, gres = PROFILES[name]
    spawner.environment = {**spawner.environment, "TEST_PROFILE": name}
    if name == "lab":
        spawner.environment["JUPYTER_CONFIG_PATH"] = f"{FOLDER}/lab"
    if hasattr(spawner, "req_gres"):
        spawner.req_partition, spawner.req_gres = partition, gres
        spawner.req_runtime = str(int(options.get("minutes", 0)) or "")
        if name == "dies":
            spawner.batchspawner_singleuser_cmd = "/no/such/command"
    elif name == "dies":
        spawner.cmd = ["/bin/false"]
        spawner.http_timeout = 5  # the Hub does not look at the process while it waits for it
    elif name == "slow":
        spawner.cmd = ["/bin/sleep", "600"]  # it starts, and never comes up
    elif gres:
        # What a scheduler would say to a job with a GPU.
        spawner.environment["CUDA_VISIBLE_DEVICES"] = "0"


def before(spawner):
    """Refuse as a scheduler would, where there is none. Pages are for people's own servers."""
    pages = "--EasyMLNB.app_kernels=1"
    if not spawner.name and pages not in spawner.args:
        spawner.args = [*spawner.args, pages]
    mine = OPTIONS.get(spawner.user.name, [])
    spawner.args = [*spawner.args, *(one for one in mine if one not in spawner.args)]
    if spawner.user_options.get("profile") == "no-such-queue" and not hasattr(spawner, "req_gres"):
        raise RuntimeError("invalid partition specified: nope")


c.Spawner.apply_user_options = apply_user_options
c.Spawner.pre_spawn_hook = before

if os.environ.get("TEST_HUB_SPAWNER") == "slurm":
    sys.path.insert(0, os.path.dirname(__file__))
    import slurm_spawner

    slurm_spawner.configure(c)
else:
    c.JupyterHub.spawner_class = "simple"
    c.SimpleLocalProcessSpawner.home_dir_template = FOLDER + "/homes/{username}"

if block := os.environ.get("TEST_HUB_BLOCK"):
    # Word by word what `easymlnb hub config` prints.
    with open(block) as file:
        exec(file.read())
