"""The part of the server's environment that workers inherit."""

import re
from collections.abc import Iterable, Mapping

_LISTED = """
PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TERM SYSTEMROOT
LC_ALL LC_ADDRESS LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY
LC_NAME LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME
VIRTUAL_ENV PYTHONPATH PYTHONHASHSEED LD_LIBRARY_PATH
CONDA_DEFAULT_ENV CONDA_EXE CONDA_PREFIX CONDA_PYTHON_EXE CONDA_SHLVL
XDG_CACHE_HOME XDG_CONFIG_DIRS XDG_CONFIG_HOME XDG_DATA_DIRS XDG_DATA_HOME XDG_RUNTIME_DIR
XDG_STATE_HOME
SSL_CERT_DIR SSL_CERT_FILE
HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy
CUDA_CACHE_PATH CUDA_DEVICE_ORDER CUDA_HOME CUDA_LAUNCH_BLOCKING CUDA_MODULE_LOADING
CUDA_MPS_LOG_DIRECTORY CUDA_MPS_PIPE_DIRECTORY CUDA_PATH CUDA_ROOT CUDA_VISIBLE_DEVICES
NVIDIA_DRIVER_CAPABILITIES NVIDIA_VISIBLE_DEVICES
OMP_DYNAMIC OMP_MAX_ACTIVE_LEVELS OMP_NUM_THREADS OMP_PLACES OMP_PROC_BIND OMP_SCHEDULE
OMP_STACKSIZE OMP_THREAD_LIMIT OMP_WAIT_POLICY
MKL_DYNAMIC MKL_INTERFACE_LAYER MKL_NUM_THREADS MKL_THREADING_LAYER
OPENBLAS_CORETYPE OPENBLAS_MAIN_FREE OPENBLAS_NUM_THREADS
HF_ASSETS_CACHE HF_DATASETS_CACHE HF_DATASETS_OFFLINE HF_ENDPOINT HF_HOME HF_HUB_CACHE
HF_HUB_DISABLE_TELEMETRY HF_HUB_DOWNLOAD_TIMEOUT HF_HUB_OFFLINE
"""
NAMES = frozenset(_LISTED.split())

PROXY = re.compile(r"_proxy\Z", re.IGNORECASE)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def inherited_environment(source: Mapping[str, str], extra: Iterable[str]) -> dict[str, str]:
    """Return the part of an environment that workers inherit.

    ``extra`` names more variables, which are passed unchanged. All other addresses are passed
    without user and password.
    """
    listed = {name: _without_login(name, source[name]) for name in NAMES & source.keys()}
    return listed | {name: source[name] for name in extra if name in source}


def _without_login(name: str, value: str) -> str:
    """Return an address without the part before its host."""
    scheme = SCHEME.match(value)
    if PROXY.search(name):
        # The scheme may be missing, and a password may contain any character.
        start = scheme[0] if scheme else ""
        return start + value.removeprefix(start).rpartition("@")[2]
    if scheme is None:
        return value
    host, slash, path = value[scheme.end() :].partition("/")
    return scheme[0] + host.rpartition("@")[2] + slash + path
