"""``easymlnb share``: set or show who may call a service."""

from dataclasses import dataclass

import typer

from easymlnb.cli import output


@dataclass(frozen=True, slots=True)
class ShareOptions:
    """Who is named on the command line."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    everyone: bool = False
    public: bool = False
    nobody: bool = False

    @property
    def somebody(self) -> bool:
        return bool(self.users or self.groups or self.everyone or self.public)


def share_and_show(
    name: str, who: ShareOptions, *, url: str | None, token: str | None, json: bool = False
) -> None:
    """Set who may call a service if anybody is named, and print who may."""
    from easymlnb.publishing.sharing import share, unshare

    if who.nobody and who.somebody:
        raise typer.BadParameter(
            "--nobody cannot be combined with users, groups, --everyone or --public."
        )
    if who.nobody:
        found = unshare(name, url=url, token=token)
    elif who.somebody:
        found = share(
            name,
            users=who.users,
            groups=who.groups,
            everyone=who.everyone,
            public=who.public,
            url=url,
            token=token,
        )
    else:
        found = share(name, url=url, token=token)
    if json:
        output.as_json({"service": found.service, **found.to_dict(), "app": found.app})
    else:
        output.say_out(repr(found))
