"""The options that commands share: which server, and how to print."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any

import typer

Include = Annotated[
    list[str] | None, typer.Option(help="Include this file or pattern; may be repeated.")
]
Exclude = Annotated[
    list[str] | None, typer.Option(help="Exclude this file or pattern; may be repeated.")
]


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """The server of a command, and whether to print JSON."""

    personal: Annotated[
        bool,
        typer.Option(
            "--personal", help="Use your own server even if the Hub has a shared service."
        ),
    ] = False
    url: Annotated[
        str | None,
        typer.Option(
            "--url", help="URL of the server; default: EASYMLNB_URL, else the local server."
        ),
    ] = None
    token: Annotated[
        str | None, typer.Option("--token", help="Token of the server; default: EASYMLNB_TOKEN.")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False


def with_target(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add these options to a command, which receives them as a ``CommandTarget``."""
    options = inspect.signature(CommandTarget).parameters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapped(**given: Any) -> None:
            command(target=CommandTarget(**{name: given.pop(name) for name in names}), **given)

        own = inspect.signature(command)
        kept = [parameter for name, parameter in own.parameters.items() if name != "target"]
        added = [options[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in names]
        wrapped.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        return wrapped

    return decorate


ANY_SERVER = with_target("personal", "url", "token", "json")
"""For commands that use the Hub's shared service or the user's own server."""

ONE_SERVER = with_target("url", "token", "json")
