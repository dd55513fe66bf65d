"""Jupyter Kernel Gateway in its notebook-http mode: each call runs a cell."""

import json
import os
import sys
from pathlib import Path

CELLS = (
    "import json, sys; sys.path.insert(0, {folder!r})\nfrom models import forest, noop; forest()",
    "# POST /noop\nprint(noop(json.loads(REQUEST)['body']['x']))",
    "# POST /forest\nprint(forest().predict([json.loads(REQUEST)['body']['x']])[0])",
)


def main(port: int) -> None:
    folder = str(Path(__file__).parent)
    cells = [
        {
            "cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [],
            "source": source.format(folder=folder) if number == 0 else source,
        }
        for number, source in enumerate(CELLS)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = {
        "cells": cells, "nbformat": 4, "nbformat_minor": 4,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
    }  # fmt: skip
    Path("peer.ipynb").write_text(json.dumps(notebook))
    command = [
        sys.executable, "-m", "kernel_gateway", f"--KernelGatewayApp.port={port}",
        "--KernelGatewayApp.api=kernel_gateway.notebook_http",
        "--KernelGatewayApp.seed_uri=peer.ipynb",
    ]  # fmt: skip
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main(int(sys.argv[1]))
