"""DEEPaaS, one worker process; it finds models by entry points, so one is laid on its path."""

import os
import sys
from pathlib import Path
from typing import Any

ENTRY_POINTS = "[deepaas.v2.model]\nnoop = deepaas_peer:Noop\nforest = deepaas_peer:Forest\n"


class Noop:
    """What DEEPaaS calls a model: a thing with these functions."""

    @staticmethod
    def get_metadata() -> dict[str, str]:
        return {"name": "noop"}

    @staticmethod
    def get_predict_args() -> dict[str, Any]:
        from webargs import fields

        return {"x": fields.Float(required=True)}

    @staticmethod
    def predict(x: float, **more: Any) -> float:
        from models import noop

        return noop(x)


class Forest:
    @staticmethod
    def get_metadata() -> dict[str, str]:
        return {"name": "forest"}

    @staticmethod
    def get_predict_args() -> dict[str, Any]:
        from webargs import fields

        return {"x": fields.Str(required=True)}

    @staticmethod
    def predict(x: str, **more: Any) -> float:
        from models import forest

        return float(forest().predict([[float(value) for value in x.split(",")]])[0])


def main(port: int) -> None:
    info = Path("peer-0.dist-info")
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: peer\nVersion: 0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    path = [str(Path(__file__).parent), str(Path.cwd())]
    program = str(Path(sys.executable).parent / "deepaas-run")
    command = [program, "--listen-ip", "127.0.0.1", "--listen-port", str(port)]
    os.execve(program, command, {**os.environ, "PYTHONPATH": os.pathsep.join(path)})


if __name__ == "__main__":
    main(int(sys.argv[1]))
