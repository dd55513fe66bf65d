"""``easymlnb from-mlflow``: make a notebook of a model folder of MLflow."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from easymlnb.cli import output


def from_mlflow(
    path: Annotated[Path, typer.Argument(help="An MLflow model folder.")],
    folder: Annotated[
        Path | None, typer.Argument(help="A new or empty folder; default: the service's name.")
    ] = None,
    name: Annotated[
        str, typer.Option(help="The service's name; default: that of the model folder.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create a notebook with a service from an MLflow model folder."""
    from easymlnb.model_store.mlflow_project import FOLDER, make_project

    made = make_project(path, folder or Path(name or path.resolve().name), name)
    publish = f"easymlnb publish {shlex.quote(str(made.notebook))} --include {FOLDER}"
    if json:
        output.as_json(
            {
                "notebook": str(made.notebook),
                "name": made.name,
                "runs_code": made.runs_code,
                "notes": list(made.notes),
                "publish": publish,
            }
        )
        return
    output.message(f"Wrote {made.notebook}.")
    for note in made.notes:
        output.message(note)
    requirements = shlex.quote(str(made.notebook.parent / "requirements.txt"))
    output.message(f"Install its packages with: pip install -r {requirements}")
    output.message(f"Publish it with: {publish}")
