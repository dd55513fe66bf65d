"""``easymlnb deepaas-cli``: the command of DEEPaaS, for images and scripts that call it."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "deepaas-cli",
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(deepaas_cli)


def deepaas_cli(context: typer.Context) -> None:
    """Run a method of a DEEPaaS module, with the options of 'deepaas-cli'."""
    from easymlnb.compat.deepaas.command import main

    raise typer.Exit(main(context.args))
