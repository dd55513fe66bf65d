"""``python -m easymlnb_server.maintenance``: back up, restore and clean up what a server stores.

It reads the same settings as the server and uses the database and the files itself, so it works
while servers run and while they do not; only a restore requires that they are stopped.
"""

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from jupyter_core.application import JupyterApp
from traitlets import TraitError
from traitlets.config import Application, Config

from easymlnb.contract import units
from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.credentials.settings import CredentialSettings
from easymlnb_server.identity.audit.log import new_event
from easymlnb_server.store.audit import Audit
from easymlnb_server.store.backup.restore import restore
from easymlnb_server.store.backup.save import save
from easymlnb_server.store.database import Database
from easymlnb_server.store.folder_lock import FolderLock
from easymlnb_server.store.private_folder import make_private
from easymlnb_server.store.settings import StorageSettings
from easymlnb_server.store.store import DAY, default_url, files_in
from easymlnb_server.wiring import needed_files

CONFIGURATIONS = ("jupyter_server_config", "jupyter_easymlnb_config")
"""Files that the server reads too, in Jupyter's configuration folders."""

PROGRESS_EVERY = 0.5
"""Seconds between two lines of progress."""


class EasyMLNB(StorageSettings, CredentialSettings, JupyterApp):
    """The settings of storage, read from the same files as the server reads them."""

    name = "easymlnb"


def main(arguments: list[str]) -> None:
    """Run one command; problems end the process with a sentence."""
    options, more = _parser().parse_known_args(arguments)
    try:
        settings = read_settings(options.config, more)
        if options.state_dir:
            settings.state_dir = options.state_dir
        options.run(settings, options)
    except (EasyMLNBError, TraitError, ValueError) as error:
        sys.exit(f"easymlnb: {error}")
    except KeyboardInterrupt:
        sys.exit("easymlnb: interrupted; nothing was changed.")


def read_settings(file: str, arguments: list[str]) -> EasyMLNB:
    """Return the settings: of Jupyter's files, then of ``file``, then options.

    Raises ``ValueError``.
    """
    for option in (one.partition("=")[0] for one in arguments if one.startswith("--")):
        # Traits have a dot; an option that is ignored, such as --url, would mislead.
        if "." not in option:
            raise ValueError(
                f"There is no option {option}. This command works on the files of this machine."
            )
    settings = EasyMLNB()
    settings.raise_config_file_errors = True
    settings.parse_command_line(arguments)
    options = Config(settings.config.copy())
    for name in CONFIGURATIONS:
        settings.config_file_name = name
        settings.load_config_file()
    if file:
        path = Path(file).absolute()
        if not path.is_file():
            raise ValueError(f"There is no configuration file {path}.")
        Application.load_config_file(settings, path.stem, [str(path.parent)])
    settings.update_config(options)
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="easymlnb", add_help=False)
    parser.add_argument("--state-dir", default="")
    parser.add_argument("--config", default="")
    parser.add_argument("--json", action="store_true")
    commands = parser.add_subparsers(required=True)
    backup = commands.add_parser("backup", add_help=False)
    backup.add_argument("file")
    backup.set_defaults(run=run_backup)
    restoring = commands.add_parser("restore", add_help=False)
    restoring.add_argument("file")
    restoring.add_argument("--force", action="store_true")
    restoring.set_defaults(run=run_restore)
    cleaning = commands.add_parser("gc", add_help=False)
    cleaning.add_argument("--yes", action="store_true")
    cleaning.add_argument("--older", default="")
    cleaning.set_defaults(run=run_gc)
    return parser


def run_backup(settings: EasyMLNB, options: argparse.Namespace) -> None:
    """Write a backup and print what it contains."""
    target = Path(options.file).absolute()
    if not target.parent.is_dir():
        raise ValueError(f"The folder {target.parent} does not exist. Create it first.")
    folder = Path(settings.state_dir)
    database = Database.connect(settings.database_url or default_url(folder))
    try:
        with _progress(sys.stderr) as progress:
            report = save(database, files_in(folder, settings.files_url), target, progress)
        _record(database, "backup.create", target)
    finally:
        database.close()
    found = {
        "file": str(target),
        "rows": report.rows,
        "files": report.files,
        "bytes": target.stat().st_size,
        "damaged": report.damaged,
    }
    text = (
        f"Saved {sum(report.rows.values()):,} rows and {report.files:,} files in {target} "
        f"({units.format_size(target.stat().st_size)})."
    )
    _show(options, found, text)
    for name in report.damaged:
        _message(f"The file {name} is damaged. It is not restored; publish its notebook again.")
    if report.rows.get("credentials"):
        _message(
            "Credentials are in the backup, encrypted. Their key is not: keep a copy of it in "
            f"another place ({settings.credentials_key_file or folder / 'credentials.key'})."
        )


def run_restore(settings: EasyMLNB, options: argparse.Namespace) -> None:
    """Restore a backup and print what it contained."""
    folder, source = Path(settings.state_dir), Path(options.file).absolute()
    make_private(folder)
    lock = FolderLock(folder)
    if (holder := lock.acquire("easymlnb restore")) is not None:
        raise ValueError(f"A server ({holder}) uses the folder {folder}. Stop it first.")
    try:
        with _progress(sys.stderr) as progress:
            report = restore(
                lambda: Database.connect(settings.database_url or default_url(folder), create=True),
                files_in(folder, settings.files_url),
                source,
                force=options.force,
                progress=progress,
            )
        database = Database.connect(settings.database_url or default_url(folder))
        try:
            _record(database, "backup.restore", source)
        finally:
            database.close()
    finally:
        lock.release()
    found = {"created": report.created, "rows": report.rows, "files": report.files}
    text = (
        f"Restored {sum(report.rows.values()):,} rows and {report.files:,} files of "
        f"{report.created}. Start the server to serve them."
    )
    _show(options, found, text)


def run_gc(settings: EasyMLNB, options: argparse.Namespace) -> None:
    """Print unused bundles and files, and remove it with ``--yes``."""
    older = units.parse_duration(options.older) if options.older else DAY
    folder = Path(settings.state_dir)
    # Refuses a missing database: this command must not create an empty one.
    Database.connect(settings.database_url or default_url(folder)).close()
    store = settings.open_store()
    needed_files.register(store)
    try:
        found = store.unused(older=older)
        if options.yes:
            store.sweep(older=older)
    finally:
        store.close()
    size = units.format_size(sum(found.files.values()))
    if not options.json:
        for bundle in found.bundles:
            _line(f"bundle {bundle.id[:12]} {bundle.owner} {bundle.manifest.get('notebook', '')}")
        for name, length in found.files.items():
            _line(f"file   {name[:12]} {units.format_size(length)}")
    done = "Removed" if options.yes else "Would remove"
    text = f"{done} {len(found.bundles):,} bundles and {len(found.files):,} files ({size})."
    if found.files and not options.yes:
        text += " To remove them, add --yes."
    listed = {"bundles": [bundle.id for bundle in found.bundles], "files": found.files}
    _show(options, {**listed, "removed": options.yes}, text)


def _record(database: Database, action: str, file: Path) -> None:
    """Add an event to the audit log; these commands have a user of the system, not of ours."""
    about = {"system_user": getpass.getuser()}
    Audit(database).add(new_event(action, str(file), details=about))


def _show(options: argparse.Namespace, found: dict[str, Any], text: str) -> None:
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        _message(text)


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")


def _message(text: str) -> None:
    sys.stderr.write(text + "\n")


@contextmanager
def _progress(out: TextIO) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that reports progress: a line that changes, or none without a terminal."""
    last = 0.0

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if out.isatty() and (done == total or now - last >= PROGRESS_EVERY):
            last = now
            out.write(f"\r\x1b[K{what}: {done:,} of {total:,}")
            out.flush()

    try:
        yield show
    finally:
        if out.isatty():
            out.write("\r\x1b[K")


if __name__ == "__main__":
    main(sys.argv[1:])
