"""Options that several commands share."""

from typing import Annotated

import typer

Url = Annotated[
    str | None, typer.Option("--url", help="The server; default: EASYMLNB_URL, else the local one.")
]
Token = Annotated[str | None, typer.Option("--token", help="Its token; default: EASYMLNB_TOKEN.")]
Here = Annotated[
    bool, typer.Option("--here", help="Keep to this server although the Hub has a shared one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
