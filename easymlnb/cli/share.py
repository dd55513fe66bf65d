"""``easymlnb share``: set or show who can call a service."""

from dataclasses import asdict, dataclass

import typer

from easymlnb.cli import output
from easymlnb.cli.options import Target


@dataclass(frozen=True, slots=True)
class ShareOptions:
    """Who gets access."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    everyone: bool = False
    public: bool = False


def share_and_show(name: str, options: ShareOptions, nobody: bool, target: Target) -> None:
    """Set the access to a service if there are options, and print it."""
    from easymlnb.publishing.sharing import share

    given = options != ShareOptions()
    if nobody and given:
        raise typer.BadParameter(
            "--nobody cannot be combined with users, groups, --everyone or --public."
        )
    setting = asdict(options) if given or nobody else {}
    access = share(name, url=target.url, token=target.token, **setting)
    if target.json:
        output.as_json({"service": access.service, **access.to_dict(), "app": access.app})
    else:
        output.say_out(repr(access))
