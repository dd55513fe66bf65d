"""Options that several commands share."""

from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option("--url", help="URL of the server; default: EASYMLNB_URL, else the local server."),
]
Token = Annotated[
    str | None, typer.Option("--token", help="Token of the server; default: EASYMLNB_TOKEN.")
]
Here = Annotated[
    bool, typer.Option("--here", help="Use your own server even if the Hub has a shared service.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
