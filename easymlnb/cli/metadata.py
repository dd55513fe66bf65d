"""``easymlnb metadata``: export to other catalogs, and import from them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import client_of
from easymlnb.cli.options import ANY_SERVER, CommandTarget
from easymlnb.contract.errors import BadRequest
from easymlnb.contract.installation import install_hint, missing

app = typer.Typer(help="Exchange metadata with other catalogs.", no_args_is_help=True)

FORMATS = ("ai4os", "mldcat-ap", "deep", "schema.org")
YAML = (".yml", ".yaml")

Save = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write this file; .yml and .yaml are YAML.")
]
Format = Annotated[
    str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.", metavar="FORMAT")
]


@app.command("export")
@ANY_SERVER
def export_metadata(
    target: CommandTarget,
    name: Annotated[
        str | None, typer.Argument(help="The service; default: all.", metavar="NAME")
    ] = None,
    format: Format = "mldcat-ap",
    save: Save = None,
) -> None:
    """Write the metadata of a service, or of all services, in the format of a catalog."""
    if format not in FORMATS:
        raise typer.BadParameter(f"There is no format {format!r}. Use {', '.join(FORMATS)}.")
    with client_of(name or "", target) as client:
        document = client.admin.catalog_metadata(name or "", format)
    if save is None:
        output.as_json(document)
        return
    save.write_text(_written(document, save), encoding="utf-8")
    output.message(f"Wrote {save}.")


@app.command("import")
def import_metadata(
    file: Annotated[Path, typer.Argument(help="A file of AI4OS, DEEP, MLDCAT-AP or schema.org.")],
    notebook: Annotated[
        Path | None,
        typer.Option(help="Write the metadata of this notebook: NAME.easymlnb.yaml next to it."),
    ] = None,
    service: Annotated[
        str, typer.Option(help="For this service of the notebook; default: for all.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Read a file of another catalog, and print or write it as metadata of a notebook."""
    from easymlnb.services.catalog_file import read_fields

    fields, problems = read_fields(file)
    for one in problems:
        output.message(f"Left out: {one.field}: {one.message}")
    document = {"services": {service: fields}} if service else fields
    if notebook is None:
        output.as_json(document) if json else output.line(_yaml(document).rstrip())
        return
    target = _metadata_file(notebook)
    if target.exists() and not force:
        raise ValueError(f"{target} exists already. Use --force to replace it.")
    target.write_text(_yaml(document), encoding="utf-8")
    if json:
        output.as_json({"file": str(target), "metadata": document})
    else:
        output.message(f"Wrote {target}.")


def _metadata_file(notebook: Path) -> Path:
    from easymlnb.publishing.notebook_metadata import metadata_files

    if notebook.suffix != ".ipynb" or not notebook.is_file():
        raise BadRequest(f"There is no notebook {str(notebook)!r}. Check the path.")
    return notebook.with_name(metadata_files(notebook.name)[0])


def _written(document: Any, path: Path) -> str:
    if path.suffix.lower() in YAML:
        return _yaml(document)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _yaml(document: Any) -> str:
    if packages := missing("yaml"):
        raise BadRequest(f"{install_hint('A YAML file', *packages)}.")
    import yaml

    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    return text
