"""The files of an OSCAR service: its FDL, and the script that an event runs."""

import shlex

from easymlnb.exporting.manifests.pod import Values
from easymlnb.exporting.models import BUNDLE, PORT, Workload

SCRIPT = "script.sh"
STORAGE = "minio.default"
TEMPLATE = """\
#!/bin/sh
# Calls the service {service} with the file of an event, and stores its result.
set -eu
export PORT={port} EASYMLNB_IP=127.0.0.1 EASYMLNB_TRUST_CLUSTER=1 EASYMLNB_BASE_URL=/
easymlnb serve-bundle {bundle} &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" || true' EXIT
ready='import urllib.request as u; u.urlopen("http://127.0.0.1:{port}/health/ready", timeout=5)'
until python3 -c "$ready" 2>/dev/null; do
  kill -0 "$server" || {{ echo "The service did not start." >&2; exit 1; }}
  sleep 1
done
file=$(basename "$INPUT_FILE_PATH")
easymlnb call {service} {parameter}=@"$INPUT_FILE_PATH" --timeout {timeout} \\
  --url "http://127.0.0.1:{port}/easymlnb/" --token none \\
  --output "$TMP_OUTPUT_DIR/${{file}}{suffix}"
"""


def base_url(name: str) -> str:
    """Return the path below which OSCAR exposes a service."""
    return f"/system/services/{name}/exposed/"


def fdl(workload: Workload, cluster: str) -> Values:
    """Return the FDL; OSCAR itself checks the callers of the exposed service."""
    variables = {"EASYMLNB_TRUST_CLUSTER": "1", "EASYMLNB_BASE_URL": workload.base_url}
    name = workload.name
    service: Values = {
        "name": name,
        "image": workload.image,
        "cpu": workload.cpu,
        "memory": workload.memory,
        "script": SCRIPT,
        "environment": {"variables": variables},
        "labels": dict(workload.labels),
        "annotations": dict(workload.annotations),
        "input": [{"storage_provider": STORAGE, "path": f"{name}/input"}],
        "output": [{"storage_provider": STORAGE, "path": f"{name}/output"}],
        "expose": {
            "api_port": PORT,
            "min_scale": workload.min_replicas,
            "max_scale": workload.max_replicas,
            "cpu_threshold": 80,
            "set_auth": True,
            "health_path": f"{workload.base_url}health/ready",
            "default_command": True,
        },
    }
    if workload.gpus:
        service["enable_gpu"] = True
    return {"functions": {"oscar": [{cluster: service}]}}


def script(workload: Workload, service: str, parameter: str, suffix: str) -> str:
    """Return the script; ``suffix`` is appended to the name of the result."""
    return TEMPLATE.format(
        service=service,
        parameter=parameter,
        bundle=BUNDLE,
        port=PORT + 10_000,
        timeout=workload.timeout,
        suffix=shlex.quote(suffix) if suffix else "",
    )
